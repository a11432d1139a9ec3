# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets wherever a report may find them, each with a mark of its own (tests/system/test_planted.py): l in
variables, e in exceptions, s in source lines, n in names of threads, p in paths, t in tasks, v in the environment;
the arguments have those with an a.

usage: planted.py FOLDER [anything]..."""
import collections
import json
import os
import subprocess
import sys
import threading
import time
import types

import at_rest

started, threads = [], 0
go = threading.Event()


def park():
    started.append(1)
    go.wait()


def spawn(function, name=None):
    global threads
    threads += 1
    threading.Thread(target=function, name=name, daemon=True).start()


# --- locals ---------------------------------------------------------------------------
class Conn(object):
    def __init__(self):
        self.dsn = "host=db user=bob password=SECRETl01 port=5"
        self.headers = {"X-Api-Key": "SECRETl02", "authorization": b"Bearer SECRETl03"}
        self._pw = "SECRETl04"
class Pass(str): pass
def locals_1():
    pin_code = "SECRETl05"
    db_pass = "SECRETl06"
    my_passphrase = ["SECRETl07"]
    credentials = ("bob", "SECRETl08")
    auth = ("bob", "SECRETl09")
    password = Pass("SECRETl10")
    conn = Conn()
    pairs = [("password", "SECRETl11"), ("user", "bob")]
    by_token = {"ghp_SECRETl12abcdefghijklmnop1": 1}
    url = "https://bob:SECRETl13@host/path"
    dsn2 = "bob:SECRETl14@db.example.com:5432/app"
    query = "https://h/cb?access_token=SECRETl15&x=1"
    log = "user logged in with password SECRETl16"
    log2 = "password is SECRETl17"
    sql = "ALTER USER bob WITH PASSWORD 'SECRETl18'"
    sql2 = "CREATE USER x IDENTIFIED BY 'SECRETl19'"
    cut = "x" * 178 + " postgres://bob:SECRETl20pw@host/db"
    cut2 = "y" * 185 + " ghp_SECRETl21abcdefghijk"
    slack = "https://hooks.slack.com/services/T0ABC1234/B0ABC1234/SECRETl22abCd3fGhIjKlMn"
    raw = b"\x00\x01password=SECRETl23\x00"
    view = memoryview(b"token=SECRETl24")
    arr = bytearray(b"token: SECRETl25")
    nested = {"a": [{"b": ({"client_secret": "SECRETl26"},)}]}
    env_line = "export AWS_SECRET_ACCESS_KEY=SECRETl27"
    yaml = "db:\n  password: SECRETl28\n  user: bob\n"
    ini = "[db]\npassword = SECRETl29\n"
    xml = "<password>SECRETl30</password><user>bob</user>"
    js = '{"user": "bob", "password" : "SECRETl31"}'
    js2 = "{\\\"password\\\": \\\"SECRETl32\\\"}"
    form = "user=bob&passwd=SECRETl33"
    cookie = "Set-Cookie: sessionid=SECRETl34; Path=/"
    kw = "connect(user='bob', password='SECRETl35')"
    netrc = "machine h login bob password SECRETl36"
    cli = "mysql -u root -pSECRETl37 -h db"
    cli2 = ["mysql", "-p", "SECRETl38"]
    cli3 = ["curl", "-u", "bob:SECRETl39"]
    signed = "https://h/x?X-Amz-Signature=SECRETl40&sig=SECRETl41"
    counter = collections.Counter({"password": 3})
    ns = types.SimpleNamespace(password="SECRETl42", token="SECRETl43")
    od = collections.OrderedDict([("api_key", "SECRETl44")])
    dd = collections.defaultdict(str, secret="SECRETl45")
    dq = collections.deque([{"password": "SECRETl46"}])
    err = RuntimeError("auth failed for bob:SECRETl47@host")
    fmt = "%s:%s" % ("password", "SECRETl48")
    azure = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=SECRETl51==;EndpointSuffix=x"
    basic = "Basic Ym9iOlNFQ1JFVA=="
    set_of = {"sk-ant-api03-SECRETl52-abcdef123456"}
    frozen = frozenset(["glpat-SECRETl53abcdefgh12"])
    ordinary = "VISIBLE01"
    park()

# --- exceptions -----------------------------------------------------------------------
class AppError(Exception): pass
def raise_and_hold(exc):
    def run():
        try:
            raise exc
        except BaseException:
            park()
    return run
def exceptions():
    E = []
    E.append(ValueError("login with password=SECRETe01 failed"))
    E.append(KeyError("ghp_SECRETe02abcdefghijklmnop1"))
    E.append(AppError("password", "SECRETe03"))
    E.append(AppError({"password": "SECRETe04"}))
    E.append(OSError(2, "No such file", "https://bob:SECRETe05@host/x"))
    E.append(AppError("could not connect to bob:SECRETe06@db:5432"))
    E.append(UnicodeDecodeError("utf-8", b"password=SECRETe07\xff", 18, 19, "invalid start byte"))
    E.append(AppError("Invalid credentials: bob / SECRETe08"))
    E.append(subprocess.CalledProcessError(1, ["mysql", "-pSECRETe09", "-u", "x"]))
    E.append(subprocess.CalledProcessError(1, "mysql --password=SECRETe10 x"))
    E.append(subprocess.TimeoutExpired(["curl", "-u", "bob:SECRETe11"], 3))
    e = AppError("with a note")
    if hasattr(e, "add_note"):
        e.add_note("token=SECRETe12")
        e.add_note("Authorization: Bearer SECRETe13")
    E.append(e)
    try:
        compile("password = 'SECRETe14' +* 3", "<x>", "exec")
    except SyntaxError as s:
        E.append(s)
    try:
        json.loads('{"password": "SECRETe15",}x')
    except ValueError as s:
        E.append(s)
    E.append(AppError(b"Cookie: id=SECRETe16"))
    E.append(AppError("Bad token 'SECRETe17'"))
    E.append(AppError("token SECRETe18 has expired"))
    E.append(AppError("INSERT INTO users (name, password) VALUES ('bob', 'SECRETe19')"))
    E.append(AppError("https://api.h/v1?api_key=SECRETe20&q=1 returned 403"))
    try:
        int("password=SECRETe21")
    except ValueError as s:
        E.append(s)
    E.append(AppError("x" * 3990 + " postgres://bob:SECRETe22@h/d"))
    E.append(AppError("Access denied for user 'bob'@'h' (using password: 'SECRETe23')"))
    if sys.version_info >= (3, 11):
        E.append(eval("ExceptionGroup")("group password=SECRETe24", [ValueError("token=SECRETe25")]))
    try:
        try:
            raise ValueError("secret: SECRETe26")
        except ValueError as inner:
            raise AppError("outer") from inner
    except AppError as s:
        E.append(s)
    return [raise_and_hold(e) for e in E]

# --- source lines ---------------------------------------------------------------------
def login(*a, **k): park()
connect = login
def set_password(password): park()
def check_token(token): park()
class D(dict): pass
def s1(): login("bob", password="SECRETs01")
def s2(): connect({"password": "SECRETs02", "user": "bob"})
def s3(): connect("postgres://bob:SECRETs03@host/db")
def s4(): connect("ghp_SECRETs04abcdefghijklmnop1")
def s5(): set_password("SECRETs05")
def s6(): login(auth=("bob", "SECRETs06"))
def s7(): login(headers={"Authorization": "Bearer SECRETs07"})
def s8(): password = "SECRETs08"; park()
def s9(): login(f"postgres://bob:SECRETs09@{os.sep}/db")
def s10(): login("--password=SECRETs10")
def s11(): login(["mysql", "-pSECRETs11"])
def s12(): park() # password: SECRETs12
def s13(): login("password", "SECRETs13")
def s14(): login(password="SEC" "RETs14" "SECRETs14")
def s15(): login(password=b"SECRETs15", token=r'SECRETs16')
def s17(): login(**{"api_key": 'SECRETs17'})
def s18(): login("bob:SECRETs18@db:5432")
def s19(): password = 1; park() if "SECRETs19" != password else 0
def s20(): login("password=%s" % "SECRETs20")
def s21(): login("password={}".format("SECRETs21"))
def s22(): login(password=os.environ.get("DB_PASSWORD", "SECRETs22"))
def s23(): login(token=os.getenv("API_TOKEN") or "SECRETs23")
def s24(): login("Authorization: Basic SECRETs24")
def s25(): login(curl="curl -u bob:SECRETs25 http://h")
def s26(): login(PASSWORDS="SECRETs26 SECRETs27".split())
def s28(): setattr(D(), "password", "SECRETs28"); park()
def s29(): check_token('SECRETs29')

for fn in [locals_1] + exceptions():
    spawn(fn)
for n in range(1, 40):
    if "s%d" % n in globals():
        spawn(globals()["s%d" % n])
# --- names and paths --------------------------------------------------------------------
spawn(park, "worker token=SECRETn01")
spawn(park, "conn postgres://bob:SECRETn02@h")
spawn(park, "ghp_SECRETn03abcdefghijklmnop1")


def tasks():
    import asyncio

    async def wait_long(password):
        await asyncio.sleep(100000)

    async def main():
        many = [asyncio.ensure_future(wait_long("SECRETt01")) for _ in range(2)]
        if hasattr(many[0], "set_name"):
            many[0].set_name("call token=SECRETt02")
            many[1].set_name("ghp_SECRETt03abcdefghijklmnop1")
        started.append(1)
        await asyncio.wait(many)
    asyncio.new_event_loop().run_until_complete(main())


spawn(tasks)
code = compile("def f():\n park()\nf()", "/srv/token=SECRETp01/app.py", "exec")
spawn(lambda: exec(code, {"park": park}))
code2 = compile("def f():\n park()\nf()", "/srv/ghp_SECRETp02abcdefghijklmnop1/app.py", "exec")
spawn(lambda: exec(code2, {"park": park}))
locks = {"ghp_SECRETp03abcdefghijklmnop1": threading.Lock(), "session=SECRETp04": threading.Lock()}
for l in locks.values(): l.acquire()
def lock_1(self_locks):
    with self_locks["ghp_SECRETp03abcdefghijklmnop1"]: pass
def lock_2(self_locks):
    with self_locks["session=SECRETp04"]: pass
spawn(lambda: lock_1(locks)); spawn(lambda: lock_2(locks))
fifo = os.path.join(sys.argv[1], "token=SECRETp05")
os.mkfifo(fifo)
fifo_fd = os.open(fifo, os.O_RDWR)
def read_fifo(): os.read(fifo_fd, 1)
spawn(read_fifo)
while len(started) < threads - 3:  # the last three wait for something else
    time.sleep(0.01)
at_rest.wait()
print("READY", flush=True)
time.sleep(100000)
