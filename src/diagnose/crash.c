// SPDX-License-Identifier: GPL-3.0-or-later
// crash: a core's fatal signal. A signal that somebody sent (kill -ABRT for a core of a process that
// hangs) says nothing of why it was sent: then the other findings come first.
#include <signal.h>

#include "diagnose/stack.h"

#define CAUSE_CHARS 200
#define MESSAGE_CHARS 120 // in the title; all of it is in the evidence

static uint32_t crashed_thread(const struct diag *diag)
{
    for (uint32_t i = 0; i < diag->count; i++)
        if (diag->threads[i].crashed)
            return i;
    return DIAG_NONE;
}

// What a processor or the process itself raises. Debuggers leave SIGTRAP or SIGSTOP in the cores that
// they write of a process that goes on.
static bool is_fault(int signo)
{
    return signo == SIGSEGV || signo == SIGBUS || signo == SIGILL || signo == SIGFPE ||
           signo == SIGABRT || signo == SIGSYS;
}

// By somebody else: abort() and os.kill(os.getpid(), ...) send a signal, too, but from within.
static bool was_sent(const struct diag *diag)
{
    const struct snap_signal *signal = &diag->source->signal;
    bool named = signal->has_sender && signal->sender_pid;
    if (!named)
        return diag->source->crash.fault == SNAP_FAULT_SENT;
    return signal->sender_pid != diag->source->pid;
}

static void say_where(struct draft *draft, uint32_t thread)
{
    struct diag *diag = draft->diag;
    if (thread == DIAG_NONE)
        return;
    struct stack stack = stack_of_thread(&diag->threads[thread]);
    const struct snap_frame *native = stack_extension(diag, &stack), *own = stack_own(diag, &stack);
    const struct snap_frame *call = stack_call(&stack);
    if (!native && call && call->kind == SNAP_BUILTIN)
        native = call;
    plain_str(&draft->text, " in ");
    say_thread(&draft->text, diag, thread);
    if (native) {
        plain_str(&draft->text, ", in ");
        say_frame(&draft->text, diag, native);
    }
    if (own) {
        plain_str(&draft->text, native ? ", called by " : ", in ");
        say_frame(&draft->text, diag, own);
        draft_name(draft, own->function);
    }
    if (native)
        draft_name(draft, native->function);
}

// "...: the program ended itself (abort), saying `...`"
static void say_cause(struct draft *draft, bool sent)
{
    const struct snap_source *source = draft->diag->source;
    const struct snap_crash *crash = &source->crash;
    uint32_t cause = crash->cause ? crash->cause : source->signal.code_text;
    if (cause) {
        plain_str(&draft->text, ": ");
        plain_id(&draft->text, draft->diag->strings, cause, CAUSE_CHARS, PLAIN_KEEP_START);
    }
    if (crash->message) {
        plain_str(&draft->text, ", saying " DIAG_CODE);
        plain_id(&draft->text, draft->diag->strings, crash->message, MESSAGE_CHARS,
                 PLAIN_KEEP_START);
        plain_str(&draft->text, DIAG_CODE_END);
    }
    if (sent && source->signal.has_sender && !crash->cause)
        plain_add(&draft->text, "; process %d sent it", (int)source->signal.sender_pid);
}

static void say_line(struct draft *draft, const char *before, uint32_t id)
{
    if (!id)
        return;
    plain_str(&draft->text, before);
    say_code(&draft->text, draft->diag, id);
    plain_str(&draft->text, ".");
    draft_evidence(draft);
}

static const char *advice_on(enum snap_fault fault)
{
    switch (fault) {
    case SNAP_FAULT_NULL:
        return "Native code used a pointer without looking whether it is NULL: an error return "
               "that "
               "was not checked, mostly. Report it to the authors of that module, with its "
               "version.";
    case SNAP_FAULT_STACK:
        return "Look at the recursion on the stack; a thread's stack can be made larger with "
               "threading.stack_size(), which only puts it off.";
    case SNAP_FAULT_POISON:
        return "An object was used after it was freed: a missing Py_INCREF, mostly. Run it with "
               "PYTHONMALLOC=debug, which finds the place earlier.";
    case SNAP_FAULT_ABORT:
        return "The process ended itself: its message says why. PYTHONFAULTHANDLER=1 writes the "
               "Python "
               "stack along with it.";
    case SNAP_FAULT_SENT:
        return "Ask who sent the signal, and why: a time limit, an operator, a supervisor.";
    default:
        return "Report it to the authors of the module the crash is in, with its version.";
    }
}

static void tell(struct diag *diag)
{
    const struct snap_source *source = diag->source;
    const struct snap_crash *crash = &source->crash;
    bool sent = was_sent(diag);
    struct draft draft;
    draft_begin(&draft, diag, sent ? DIAG_LOW : DIAG_HIGH, SNAP_OBSERVED, -1);
    if (source->signal.name)
        plain_id(&draft.text, diag->strings, source->signal.name, 0, PLAIN_KEEP_START);
    else
        plain_add(&draft.text, "signal %d", source->signal.signo);
    say_where(&draft, crashed_thread(diag));
    say_cause(&draft, sent);
    plain_str(&draft.text, ".");
    draft_title(&draft);
    say_line(&draft, "It said: ", crash->message);
    say_line(&draft, "The instruction: ", crash->instruction);
    if (crash->module) {
        plain_str(&draft.text, "The module: ");
        say_code(&draft.text, diag, crash->module);
        if (crash->module_version) {
            plain_str(&draft.text, " ");
            say_code(&draft.text, diag, crash->module_version);
        }
        if (crash->build_id) {
            plain_str(&draft.text, ", build ID ");
            say_code(&draft.text, diag, crash->build_id);
        }
        plain_str(&draft.text, ".");
        draft_evidence(&draft);
    }
    say_line(&draft, "What overflowed the stack: ", crash->recursion);
    bool itself = !sent && crash->fault == SNAP_FAULT_SENT;
    draft_advice(&draft, advice_on(sent     ? SNAP_FAULT_SENT
                                   : itself ? SNAP_FAULT_ABORT
                                            : crash->fault));
    draft_end(&draft);
}

void rule_crash(struct diag *diag)
{
    const struct snap_source *source = diag->source;
    if (source->of_core && source->signal.signo &&
        (is_fault(source->signal.signo) || source->crash.has || was_sent(diag)))
        tell(diag);
}
