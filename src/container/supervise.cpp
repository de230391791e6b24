// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/supervise.h"

#include <memory>
#include <optional>
#include <string>

#include "src/base/error.h"
#include "src/container/alive.h"
#include "src/container/console.h"
#include "src/container/detach.h"
#include "src/container/failure.h"
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
  } catch (const Error& further) {
    error.add_cause(further);
  } catch (const std::exception& further) {
    error.add_cause(Error(ErrorKind::failed, further.what()));
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
  } catch (const Error& error) {
    give_up(hooks, error);
  } catch (const std::exception& error) {
    give_up(hooks, Error(ErrorKind::failed, error.what()));
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
  const AliveLock alive = AliveLock::hold(launch.state_dir, launch.id);
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
    supervise(launch, hooks, manner);
  };
  detach(life, "the container's supervisor");
}

}  // namespace mb::container
