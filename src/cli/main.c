// SPDX-License-Identifier: GPL-3.0-or-later
// pycore: dispatch to the commands.
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/child.h"
#include "cli/cli.h"

static int no_command(const char *name)
{
    complain("there is no command \"%s\"; \"pycore --help\" lists them", name);
    return EXIT_USAGE;
}

// help [COMMAND], and what the build asks for: help --man [COMMAND], help --completion SHELL.
static int help(int argc, char **argv)
{
    bool man = argc > 1 && strcmp(argv[1], "--man") == 0;
    if (argc > 1 && strcmp(argv[1], "--completion") == 0) {
        if (argc == 3 && print_completion(stdout, argv[2]))
            return EXIT_COMPLETE;
        complain("help --completion takes one of bash, zsh, fish");
        return EXIT_USAGE;
    }
    const char *name = argc > 1 + man ? argv[1 + man] : NULL;
    const struct command *command = name ? command_by_name(name) : NULL;
    if (name && strcmp(name, "help") == 0)
        name = NULL; // it has no options: the overview is its help
    if (name && !command)
        return no_command(name);
    if (man)
        print_man(stdout, command);
    else if (command)
        print_command_help(stdout, command);
    else
        print_help(stdout);
    return EXIT_COMPLETE;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct options options;
    bool done;
    int code = options_parse(command, argc, argv, &options, &done);
    return code || done ? code : command->run(&options, argc, argv);
}

int main(int argc, char **argv)
{
    child_remember_inherited();
    // A parent may have left SIGCHLD ignored, and then no stop could be waited for.
    signal(SIGCHLD, SIG_DFL);
    umask(077);
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("pycore " PACKAGE_VERSION);
        return EXIT_COMPLETE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return help(argc - 1, argv + 1);
    const struct command *command = command_by_name(argv[1]);
    return command ? run(command, argc - 1, argv + 1) : no_command(argv[1]);
}
