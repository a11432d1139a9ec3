// SPDX-License-Identifier: GPL-3.0-or-later
// What is hidden of arguments, and what is not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/redact.h"

static const struct {
    const char *previous, *argument, *shown;
} rows[] = {
    {NULL, "python3", "python3"},
    {"python3", "app.py", "app.py"},
    {NULL, "--password=hunter2", "--password=***"},
    {NULL, "--db-passwd=hunter2", "--db-passwd=***"},
    {NULL, "DB_PASSWORD=hunter2", "DB_PASSWORD=***"},
    {NULL, "--api-key=1", "--api-key=***"},
    {NULL, "--authToken=1", "--authToken=***"},
    {"--token", "abc", "***"},
    {"--token=abc", "abc", "abc"},
    {"--token", "--verbose", "--verbose"},
    {"token.py", "8000", "8000"},
    {NULL, "https://user:hunter2@host/path", "https://user:***@host/path"},
    {NULL, "--url=https://user:p@ss@host", "--url=https://user:***@host"},
    {NULL, "https://host:8080/a@b", "https://host:8080/a@b"},
    {NULL, "ghp_0123456789abcdefghijklmn", "***"},
    {NULL, "--header=ghp_0123456789abcdefghijklmn", "--header=***"},
    {NULL, "AKIA0123456789ABCDEF", "***"},
    {NULL, "eyJhbGciOiJIUzI1NiIsInR5cCI6.abc", "***"},
    {NULL, "sk-short", "sk-short"},
    {NULL, "***", "***"},
    {NULL, "", ""},
    {NULL, "--header=Authorization: Bearer abc", "--header=Authorization: Bearer ***"},
    {NULL, "--conn=Server=x;Password=y;Port=1", "--conn=Server=x;Password=***;Port=1"},
    {NULL, "http://h/?a=1&api_key=1&b=2", "http://h/?a=1&api_key=***&b=2"},
    {NULL, "import os; os.environ['X'] = 1", "import os; os.environ['X'] = 1"},
    {NULL, "--tokenizer-api-key=1", "--tokenizer-api-key=***"},
    {"--tokenizer-password", "1", "***"},
    {NULL, "--max-tokens=100", "--max-tokens=100"},
    {NULL, "a://x/ b://u:p@h/ c://v:q@i", "a://x/ b://u:***@h/ c://v:***@i"},
    {NULL, "--tokenizer-path=/srv/model", "--tokenizer-path=/srv/model"},
    {"-p", "hunter2", "***"},
    {"-p", "8080", "8080"},
    {"-p", "80:8080", "80:8080"},
    {"-p", "/run/app.pid", "/run/app.pid"},
    {"-p", "-v", "-v"},
    {NULL, "-pHunter2", "-p***"},
    {NULL, "-p8080", "-p8080"},
    {NULL, "-print", "-print"},
    {NULL, "-pid=12", "-pid=12"},
    {"-u", "bob:hunter2", "bob:***"},
    {"-u", "bob", "bob"},
    {"-u", "1000:1000", "1000:1000"},
    {NULL, "--user=bob:hunter2", "--user=bob:***"},
    {"--auth", "bob:hunter2", "***"},
    {"--api-token", "-hunter2x", "***"},
    {"--api-token", "-v", "-v"},
    {"--pin", "1234", "***"},
    {NULL, "bob:hunter2@db:5432/app", "bob:***@db:5432/app"},
    {NULL, "bob:h@nter2@db", "bob:***@db"},
    {NULL, "mailto:bob@example.com", "mailto:bob@example.com"},
    {NULL, "registry/app:1@sha256:00", "registry/app:1@sha256:00"},
    {NULL, "bob@example.com", "bob@example.com"},
    {NULL, "/tmp/tmp9x8k2_4a/service.py", "/tmp/tmp9x8k2_4a/service.py"},
    {NULL, "/srv/r/20231101-4f5e2d1/app/x2y4z6/run", "/srv/r/20231101-4f5e2d1/app/x2y4z6/run"},
    {NULL, "--root=/a1/b2/c3/d4/e5/f6/g7/h8/i9", "--root=/a1/b2/c3/d4/e5/f6/g7/h8/i9"},
    {NULL, "/d/3f0c9b2d7a6e4518bc01d2e3f4a5b697/x", "/d/***/x"},
    {NULL, "/d/q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ", "/d/***"},
    {NULL, "https://abc:x-oauth-basic@github.com/x", "https://***:***@github.com/x"},
    {NULL, "https://abc:@api.host/x", "https://***:@api.host/x"},
    {NULL, "https://h/x?X-Amz-Signature=ab&n=1", "https://h/x?X-Amz-Signature=***&n=1"},
    {NULL, "-----BEGIN RSA PRIVATE KEY-----\nMII=\n-----END RSA PRIVATE KEY----- x", "*** x"},
};

static const struct {
    const char *name;
    bool secret;
} names[] = {
    {"password", true},
    {"PGPASSWORD", true},
    {"db_passwd", true},
    {"userPassword", true},
    {"DBPassword2", true},
    {"x-api-key", true},
    {"apiKey", true},
    {"APIKey", true},
    {"API_KEY", true},
    {"api_keys", true},
    {"authToken", true},
    {"csrf_token", true},
    {"csrftoken", true},
    {"token", true},
    {"tokens", true},
    {"client_secret", true},
    {"SECRET_KEY", true},
    {"Authorization", true},
    {"Set-Cookie", true},
    {"sessionid", true},
    {"session", true},
    {"aws_secret_access_key", true},
    {"credentials", true},
    {"private_key", true},
    {"db_pass", true},
    {"self.password", true},
    {"pwd", true},
    {"keyboard", false},
    {"monkey", false},
    {"tokenizer", false},
    {"tokenize", false},
    {"key", false},
    {"sort_key", false},
    {"author", false},
    {"max_tokens", false},
    {"passed", false},
    {"passenger", false},
    {"compass", false},
    {"password_length", false},
    {"token_count", false},
    {"obsession", false},
    {"secretary", false},
    {"path", false},
    {"", false},
    {"_", false},
    {"keys", false},
    {"bypass", false},
    {"connection_string", true},
    {"CONN_STR", true},
    {"connstr", true},
    {"connection", false},
    {"query_string", false},
    {"seed_phrase", true},
    {"recovery_codes", true},
    {"access_code", true},
    {"status_code", false},
    {"kms_key", true},
    {"security_answer", true},
    {"passwort", true},
};

static const struct {
    const char *text, *shown;
    size_t hidden;
} texts[] = {
    {"nothing", "nothing", 0},
    {"login failed: password=hunter2, retry", "login failed: password=***, retry", 1},
    {"bad password 'hunter2' for bob", "bad password '***' for bob", 1},
    {"{'password': 'hunter2', 'user': 'bob'}", "{'password': '***', 'user': 'bob'}", 1},
    {"{\"api_key\": \"a\\\"b\", \"n\": 1}", "{\"api_key\": \"***\", \"n\": 1}", 1},
    {"Cookie: a=b; c=d\nHost: x", "Cookie: ***\nHost: x", 1},
    {"Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***", 1},
    {"[('Authorization', 'Token abc')]", "[('Authorization', 'Token ***')]", 1},
    {"mysql --password hunter2 -u x", "mysql --password *** -u x", 1},
    {"postgres://u:p@h/db and redis://:pw@h", "postgres://u:***@h/db and redis://:***@h", 2},
    {"key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY.", "key ***.", 1},
    {"id=5f4dcc3b5aa765d61d8327deb882cf99", "id=***", 1},
    {"ghp_0123456789abcdefghij,sk-proj-0123456789abcdef", "***,***", 2},
    {"f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", 0},
    {"/usr/lib/python3.11/site-packages/sqlalchemy/engine/base.py",
     "/usr/lib/python3.11/site-packages/sqlalchemy/engine/base.py", 0},
    {"<TestHTTPServerConnection12 object at 0x7f3a4b2c1d0e>",
     "<TestHTTPServerConnection12 object at 0x7f3a4b2c1d0e>", 0},
    {"12345678901234567890123456789012345678901234567890",
     "12345678901234567890123456789012345678901234567890", 0},
    {"2026-11-30T06:48:45Z worker-17 handled 3 requests",
     "2026-11-30T06:48:45Z worker-17 handled 3 requests", 0},
    {"the tokenizer: fast", "the tokenizer: fast", 0},
    {"-----BEGIN PRIVATE KEY-----\nAAAA", "***", 1},
    {"{'passwords': ['a', \"b]\"], 'n': 'kept'}", "{'passwords': [***], 'n': 'kept'}", 1},
    {"{\"password\": {\"old\": {\"x\": \"a\"}, \"new\": \"b\"}, \"n\": 1}",
     "{\"password\": {***}, \"n\": 1}", 1},
    {"Config(token=Token(value='a', n=2), n=1)", "Config(token=Token(***), n=1)", 1},
    {"auth=('bob', 'hunter2'), n=('x', 'y')", "auth=(***), n=('x', 'y')", 1},
    {"tokens=[a, b", "tokens=[***", 1},
    {"password={} and []", "password=*** and []", 1},
    {"password is hunter2.", "password is ***.", 1},
    {"password is opensesame.", "password is ***.", 1},
    {"login failed for bob with password opensesame", "login failed for bob with password ***", 1},
    {"wrong password opensesame for bob", "wrong password *** for bob", 1},
    {"The secret is opensesame", "The secret is ***", 1},
    {"the password is incorrect", "the password is incorrect", 0},
    {"wrong password given; bad password for bob", "wrong password given; bad password for bob", 0},
    {"with password authentication", "with password authentication", 0},
    {"password authentication failed for user", "password authentication failed for user", 0},
    {"https://hooks.slack.com/services/T0/B0/XXXXXXXX", "https://hooks.slack.com/services/***", 1},
    {"token a1b2c3 has expired", "token *** has expired", 1},
    {"the token expired; session 12 closed", "the token expired; session 12 closed", 0},
    {"no password for user1", "no password for user1", 0},
    {"Invalid credentials: bob / hunter2", "Invalid credentials: ***", 1},
    {"CREATE USER x IDENTIFIED BY 'y z'", "CREATE USER x IDENTIFIED BY '***'", 1},
    {"INSERT INTO u (n, password) VALUES ('b', 'c')",
     "INSERT INTO u (n, password) VALUES ('***', '***')", 2},
    {"INSERT INTO u (n, m) VALUES ('b', 'c')", "INSERT INTO u (n, m) VALUES ('b', 'c')", 0},
    {"<password>a b</password><user>c</user>", "<password>***</password><user>c</user>", 1},
    {"{\\\"password\\\": \\\"hunter2\\\", \\\"n\\\": 1}",
     "{\\\"password\\\": \\\"***\\\", \\\"n\\\": 1}", 1},
    {"mysql -u root -pHunter2 -h db", "mysql -u root -p*** -h db", 1},
    {"curl -u bob:hunter2 http://h", "curl -u bob:*** http://h", 1},
    {"ssh -p 22 bob@host", "ssh -p 22 bob@host", 0},
    {"could not reach bob:hunter2@db:5432", "could not reach bob:***@db:5432", 1},
    {"at 12:30@noon", "at 12:30@noon", 0},
    {"npm ghp_\x1a\x1a\x1a is \x1a\x1a", "npm ghp_*** is ***", 2},
};

static const struct {
    const char *line, *shown;
} sources[] = {
    {"    password = \"hunter2\"", "    password = \"***\""},
    {"def login(user, password: str, token=None):", "def login(user, password: str, token=None):"},
    {"def login(user, password: str = 'x', n=3):", "def login(user, password: str = '***', n=3):"},
    {"connect(host, password=self.password)", "connect(host, password=self.password)"},
    {"connect(password='a', port=5432)", "connect(password='***', port=5432)"},
    {"os.environ[\"DB_PASSWORD\"] = \"x\"", "os.environ[\"DB_PASSWORD\"] = \"***\""},
    {"n = 1; PASSCODE = 1234", "n = 1; PASSCODE = ***"},
    {"secret = b'''x'y''' + z", "secret = b'''***''' + z"},
    {"client('ghp_0123456789abcdefghij')", "client('***')"},
    {"env.setdefault('DB_PASSWORD', 'x')", "env.setdefault('DB_PASSWORD', '***')"},
    {"os.getenv('DB_PASSWORD') or 'x'", "os.getenv('DB_PASSWORD') or '***'"},
    {"run('password=%s' % 'x', 1)", "run('password=***' % '***', 1)"},
    {"run('password={}'.format('x'))", "run('password=***'.format('***'))"},
    {"run('--password=x', 'y')", "run('--password=***', 'y')"},
    {"run(['mysql', '-pHunter2'])", "run(['mysql', '-p***'])"},
    {"connect('bob:x@host', 'y')", "connect('bob:***@host', 'y')"},
    {"f() # password: x", "f() # password: ***"},
    {"smtp.login('bob', 'x')", "smtp.login('***', '***')"},
    {"authenticate(user, 'x')", "authenticate(user, '***')"},
    {"def login(user='bob'):", "def login(user='bob'):"},
    {"jwt.encode(payload, 'x', algorithm='y')", "jwt.encode(payload, '***', algorithm='***')"},
    {"hmac.new(b'x', message)", "hmac.new(b'***', message)"},
    {"run(['sshpass', '-p', 'hunter2', 'ssh'])", "run(['sshpass', '-p', '***', 'ssh'])"},
    {"run(['curl', '-u', 'bob:x', '-p', '80'])", "run(['curl', '-u', 'bob:***', '-p', '80'])"},
    {"user, password = 'bob', 'x'; n = 'y'", "user, password = '***', '***'; n = 'y'"},
    {"API_KEY, user = load('x'), 'y'", "API_KEY, user = load('***'), '***'"},
    {"f(password, x) == ('a', 'b')", "f(password, x) == ('a', 'b')"},
    {"log.info('password %s of %s', 'x', 'y')", "log.info('password %s of %s', '***', '***')"},
    {"user.set_password('a', 'b')", "user.set_password('***', '***')"},
    {"session.get('https://h/x', 'y')", "session.get('https://h/x', 'y')"},
    {"get_token().encode('utf-8')", "get_token().encode('utf-8')"},
    {"if 'x' == password and 'y':", "if '***' == password and 'y':"},
    {"log('user %s logged in', 'bob')", "log('user %s logged in', 'bob')"},
    {"raise ValueError('no password for %s' % 'bob')",
     "raise ValueError('no password for %s' % 'bob')"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char *shown = redact_argument(rows[i].previous, rows[i].argument);
        assert_string_equal(shown, rows[i].shown);
        char *again = redact_argument(rows[i].previous, shown);
        assert_string_equal(again, rows[i].shown);
        free(again);
        free(shown);
    }
}

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (redact_is_secret_name(names[i].name, strlen(names[i].name)) != names[i].secret)
            fail_msg("%s: should be %s", names[i].name, names[i].secret ? "secret" : "shown");
}

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        size_t hidden = 0, again = 0;
        char *shown = redact_text(texts[i].text, &hidden);
        assert_string_equal(shown, texts[i].shown);
        assert_int_equal(hidden, texts[i].hidden);
        // What is hidden is not hidden once more.
        char *twice = redact_text(shown, &again);
        assert_string_equal(twice, shown);
        assert_int_equal(again, 0);
        free(twice);
        free(shown);
    }
}

static void test_sources(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
        size_t hidden = 0;
        char *shown = redact_source(sources[i].line, &hidden);
        assert_string_equal(shown, sources[i].shown);
        free(shown);
    }
}

static const struct {
    const char *path, *shown;
} paths[] = {
    {"/srv/app/main.py", "/srv/app/main.py"},
    {"/srv/token=x/main.py", "/srv/token=***"},
    {"/srv/ghp_A1B2C3D4E5F6/main.py", "/srv/***/main.py"},
    {"/srv/npm_run_all_of_these_scripts1/x.py", "/srv/npm_run_all_of_these_scripts1/x.py"},
    {"/nix/store/8w718rm43x7z73xhw9d6vh8s4snrq67h-python3-3.11/lib/x.py",
     "/nix/store/8w718rm43x7z73xhw9d6vh8s4snrq67h-python3-3.11/lib/x.py"},
    {"/home/bob/secrets/token.py", "/home/bob/secrets/token.py"},
    {"/srv/\x1a\x1a/x.py", "/srv/***/x.py"},
};

// What is written over in place is shown as if it had been hidden in the first place.
static void test_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        char *shown = redact_path(paths[i].path), *blotted = strdup(paths[i].path);
        assert_string_equal(shown, paths[i].shown);
        redact_blot(blotted, strlen(blotted));
        assert_int_equal(strlen(blotted), strlen(paths[i].path));
        char *again = redact_path(blotted);
        assert_string_equal(again, paths[i].shown);
        free(again);
        free(blotted);
        free(shown);
    }
}

static void test_values(void **state)
{
    (void)state;
    assert_true(redact_is_secret_value("ghp_0123456789abcdefghij", 24));
    assert_true(redact_is_secret_value("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ==", 34));
    assert_false(redact_is_secret_value("hello", 5));
    assert_false(redact_is_secret_value("", 0));
    // NUL bytes end nothing.
    size_t size, hidden = 0;
    char *shown = redact_bytes("a\0token=b\0c", 11, &size, &hidden);
    assert_int_equal(hidden, 1);
    assert_memory_equal(shown, "a\0token=***\0c", 13);
    assert_int_equal(size, 13);
    free(shown);
}

// Of an interned text the same is hidden, whether it is told at a glance or not.
static void check_id(struct strtab *strings, const char *text)
{
    size_t hidden = 0;
    uint32_t id = redact_id(strings, strtab_add_cstr(strings, text));
    char *shown = redact_text(text, &hidden);
    assert_string_equal(strtab_get(strings, id), shown);
    free(shown);
}

static void test_ids(void **state)
{
    static const char *const ends[] = {"", "-1", "_1a2B3c4", "-0123456789abcdef", ".x9", " 1", "=1"};
    static const char *const begins[] = {"", "Task-", "-", "a.", "9"};
    struct strtab *strings = strtab_create();
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        check_id(strings, rows[i].argument);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        check_id(strings, texts[i].text);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        for (size_t j = 0; j < sizeof(ends) / sizeof(*ends); j++)
            for (size_t k = 0; k < sizeof(begins) / sizeof(*begins); k++) {
                char text[256];
                snprintf(text, sizeof(text), "%s%s%s", begins[k], names[i].name, ends[j]);
                check_id(strings, text);
            }
    // Short ones that are keys, and their like that are none.
    static const char *const keys[] = {"ghp_0a1b2c3d", "Task-ghp_0a1b2c3d", "AKIA0123456789AB", "-pHunter2",
                                       "ghp_0a1b2c3",  "Task-1234567890123",  "r8_0123456789",  "-print"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        check_id(strings, keys[i]);
    assert_string_equal(strtab_get(strings, redact_id(strings, strtab_add_cstr(strings, keys[1]))),
                        "Task-***");
    assert_int_equal(redact_id(strings, 0), 0);
    strtab_destroy(strings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_names),  cmocka_unit_test(test_texts),
        cmocka_unit_test(test_sources), cmocka_unit_test(test_values), cmocka_unit_test(test_paths),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
