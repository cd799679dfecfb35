// SPDX-License-Identifier: Apache-2.0
// Mfapi: libmilter, behind four functions. The .cc file is the only one that knows its header. Callbacks become calls
// of Session; an exception that gets as far as the callback ends there as a temporary error, because one that went
// through libmilter's C frames would end the process.
//
// Signals. libmilter starts a thread of its own that waits (sigwait) for SIGHUP, SIGTERM and SIGINT and ends the filter
// on any of them, SIGHUP included. These signals are sent to the process, and the kernel gives a process-directed
// signal to any one thread that waits for it or does not block it; blocking it everywhere else does not help, since
// sigwait itself unblocks. So a second waiter of ours would only win some of the time: none of masks, order of threads
// or handlers makes it certain. What is certain is not to let that thread wait: this program defines sigwait itself,
// libmilter's call binds to it, and the thread parks there for good. The main thread reads its signals from a signalfd
// and never calls sigwait. run_milter's caller checks that the thread did park before it reports the daemon as ready (a
// statically bound libmilter would not).
#pragma once
#include <cstdint>

#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "milter/service.h"
#include "milter/settings.h"

namespace postern::milter {

// open_milter opens the socket of `listen` and registers the callbacks, which will work on `service`. Main thread,
// before other threads and before privileges are dropped.
base::Result<void> open_milter(const Listen& listen, Service& service);

// run_milter serves connections until libmilter ends, which it does only when it fails; returns its status. Called in a
// thread of its own.
int run_milter();

// signals_parked tells whether libmilter's signal thread has been put to rest.
bool signals_parked();

// stop_accepting closes the listening socket for good; connections that are open go on. New ones are refused by the
// kernel at once, or find no socket file.
void stop_accepting();

// probe_milter connects to our own listening socket as an MTA would and negotiates. An error says that the daemon does
// not serve connections any more; no answer within 5 s is one.
base::Result<void> probe_milter();

}  // namespace postern::milter
