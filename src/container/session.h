// SPDX-License-Identifier: GPL-2.0-or-later
//
// The time between start and end of a command, as its supervisor spends it.
#pragma once

#include <functional>

#include "src/container/console.h"
#include "src/container/poll_loop.h"
#include "src/container/process.h"
#include "src/container/signals.h"

namespace mb::container {

// Hands on signals and window sizes, moves the streams, until the command has ended and its last output is delivered.
// Returns its exit status, or 128 + signal. A signal that arrives while our own output is stuck ends the delivery.
// `join` may add what else is to be looked after meanwhile.
int stay_until_end(Prepared& container, Console& console, const SignalReader& signals,
                   const std::function<void(PollLoop&)>& join = {});

}  // namespace mb::container
