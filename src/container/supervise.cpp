// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/supervise.h"

#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/alive.h"
#include "src/container/console.h"
#include "src/container/detach.h"
#include "src/container/failure.h"
#include "src/container/log.h"
#include "src/container/run_files.h"
#include "src/container/session.h"
#include "src/container/signals.h"

namespace mb::container {
namespace {

// What differs between the two kinds of supervisor.
struct Manner {
  std::function<std::unique_ptr<Console>()> open_console;
  std::function<void()> before_attach = [] {};
  std::function<void()> started = [] {};
};

// The undoing of an attach that succeeded. Its own failure is told under the one that made it necessary.
[[noreturn]] void give_up(const Hooks& hooks, Error error) {
  try {
    if (hooks.failed) hooks.failed();
  } catch (const std::exception& further) {
    error.add_cause(as_error(further));
  }
  throw error;
}

[[noreturn]] void give_up(const Hooks& hooks, const CommandFailure& failure) {
  try {
    give_up(hooks, static_cast<const Error&>(failure));
  } catch (const Error& error) {
    throw CommandFailure(failure.exit_status(), error);
  }
}

// A part of the way from what was attached to a command that runs.
template <class Part>
auto or_give_up(const Hooks& hooks, Part part) {
  try {
    return part();
  } catch (const CommandFailure& failure) {
    give_up(hooks, failure);
  } catch (const std::exception& error) {
    give_up(hooks, as_error(error));
  }
}

// What nobody else hears any more. Where there is no log either (the container has been removed) it is lost.
void tell_in_log(const Launch& launch, const Error& error) noexcept {
  try {
    std::string text = fmt::format("minibridge: {}\n", error.message());
    for (const auto& cause : error.causes()) text += fmt::format("minibridge: {}\n", cause.message());
    LogWriter(launch.state_dir, launch.id).write(Stream::err, text);
  } catch (const std::exception&) {
  }
}

Prepared prepare(const Launch& launch, const Hooks& hooks, const Manner& manner, const Console& console) {
  Prepared container = spawn(launch, console.stdio());
  manner.before_attach();
  if (hooks.attach) hooks.attach(container);
  return container;
}

int supervise(const Launch& launch, const Hooks& hooks, const Manner& manner) {
  const SignalReader signals(supervised_signals());
  const AliveLock alive = AliveLock::hold(launch);
  auto console = manner.open_console();
  Prepared container = prepare(launch, hooks, manner, *console);
  // The directory of the container is the pipe's to make, in `attach`; whatever is killed before that leaves no file.
  const StatusFile status = or_give_up(hooks, [&] { return StatusFile::create(launch.state_dir, launch.id); });
  or_give_up(hooks, [&] {
    if (hooks.attached) hooks.attached();
    container.go();
    console->connect(container.take_terminal());
  });
  manner.started();
  const int exit_status = stay_until_end(container, *console, signals, hooks.join);
  status.write(exit_status);
  console.reset();  // our terminal is itself again before anybody prints
  if (hooks.ended) hooks.ended(exit_status);
  return exit_status;
}

}  // namespace

int supervise_foreground(const Launch& launch, const Hooks& hooks) {
  Manner manner;
  manner.open_console = [&] { return open_foreground_console(launch.process); };
  return supervise(launch, hooks, manner);
}

void supervise_detached(const Launch& launch, const Hooks& hooks) {
  const auto life = [&](Caller& caller) {
    Manner manner;
    manner.open_console = [&] { return open_logged_console(launch.state_dir, launch.id, launch.process); };
    manner.before_attach = [&] { caller.expect(); };
    manner.started = [&] { caller.ready(); };
    try {
      supervise(launch, hooks, manner);
    } catch (const std::exception& error) {
      if (!caller.waits()) tell_in_log(launch, as_error(error));
      throw;
    }
  };
  detach(life, "the container's supervisor");
}

}  // namespace mb::container
