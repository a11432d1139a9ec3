// SPDX-License-Identifier: GPL-3.0-or-later
// pycore: dispatch to the commands.
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/child.h"
#include "cli/cli.h"

static int help(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stdout);
        return EXIT_COMPLETE;
    }
    for (const struct command *command = commands; command->name; command++)
        if (strcmp(command->name, argv[1]) == 0) {
            print_command_help(stdout, command);
            return EXIT_COMPLETE;
        }
    complain("there is no command \"%s\"; \"pycore --help\" lists them", argv[1]);
    return EXIT_USAGE;
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
    for (const struct command *command = commands; command->name; command++)
        if (strcmp(command->name, argv[1]) == 0)
            return run(command, argc - 1, argv + 1);
    complain("there is no command \"%s\"; \"pycore --help\" lists them", argv[1]);
    return EXIT_USAGE;
}
