// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/session.h"

#include <csignal>
#include <optional>

#include "src/container/poll_loop.h"

namespace mb::container {
namespace {

void react_to_signals(const SignalReader& signals, const Prepared& container, Console& console) {
  while (const std::optional<int> signal = signals.next()) {
    if (*signal == SIGWINCH) {
      console.resize();
    } else if (*signal != SIGPIPE) {
      container.send(*signal);
    }
  }
}

bool asks_to_leave(const SignalReader& signals) {
  while (const std::optional<int> signal = signals.next()) {
    if (*signal != SIGWINCH && *signal != SIGPIPE) return true;
  }
  return false;
}

// The command has ended, but our own output may be stuck (a terminal that was stopped, a reader that does not read).
void deliver_rest(Console& console, const SignalReader& signals) {
  bool leave = false;
  PollLoop loop;
  loop.add_readable(signals.fd(), [&] { leave = asks_to_leave(signals); });
  console.join(loop);
  loop.run_while([&] { return !leave && console.has_rest(); });
}

}  // namespace

int stay_until_end(Prepared& container, Console& console, const SignalReader& signals,
                   const std::function<void(PollLoop&)>& join) {
  bool ended = false;
  PollLoop loop;
  loop.add_readable(container.pidfd(), [&] { ended = true; });
  loop.add_readable(signals.fd(), [&] { react_to_signals(signals, container, console); });
  console.join(loop);
  if (join) join(loop);
  loop.run_while([&] { return !ended; });
  const int exit_status = container.wait();
  deliver_rest(console, signals);
  return exit_status;
}

}  // namespace mb::container
