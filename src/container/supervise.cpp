// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/supervise.h"

#include <malloc.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/alive.h"
#include "src/container/attend.h"
#include "src/container/console.h"
#include "src/container/descriptors.h"
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

void start_command(Prepared& container, Console& console, const Hooks& hooks) {
  try {
    container.go();
    console.connect(container.take_terminal());
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

// The directory of the container is the pipe's to make, in `attach`; whatever is killed before that leaves no file.
StatusFile begin_status(const Launch& launch, const Hooks& hooks) {
  try {
    return StatusFile::create(launch.state_dir, launch.id);
  } catch (const Error& error) {
    give_up(hooks, error);
  }
}

int supervise(const Launch& launch, const Hooks& hooks, const Manner& manner) {
  const SignalReader signals(supervised_signals());
  const AliveLock alive = AliveLock::hold(launch.state_dir, launch.id);
  auto console = manner.open_console();
  Prepared container = prepare(launch, hooks, manner, *console);
  const StatusFile status = begin_status(launch, hooks);
  start_command(container, *console, hooks);
  manner.started();
  const int exit_status = stay_until_end(container, *console, signals);
  status.write(exit_status);
  console.reset();  // our terminal is itself again before anybody prints
  if (hooks.ended) hooks.ended(exit_status);
  return exit_status;
}

// ------------------------------------------------------------------ detached

constexpr char kReady = 'r';

// The news to whoever started us: one byte when the command runs, else an encoded error after another byte.
constexpr char kFailed = 'f';

void tell(int parent, char kind, const std::string& text) {
  const std::string bytes = kind + text;
  std::size_t told = 0;
  while (told < bytes.size()) {
    const ssize_t put = ::write(parent, bytes.data() + told, bytes.size() - told);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return;  // nobody is interested any more
    told += static_cast<std::size_t>(put);
  }
}

void expect_parent(int parent) {
  pollfd entry{parent, 0, 0};
  if (::poll(&entry, 1, 0) > 0 && (entry.revents & POLLERR) != 0) {
    throw Error(ErrorKind::failed, "who asked for the container is gone");
  }
}

void leave_the_session() {
  ::setsid();
  [[maybe_unused]] const int ignored = ::chdir("/");  // keep no directory busy
  const netns::UniqueFd null = open_null();
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(null.get(), STDOUT_FILENO);
}

[[noreturn]] void be_supervisor(const Launch& launch, const Hooks& hooks, netns::UniqueFd parent) noexcept {
  Manner manner;
  manner.open_console = [&] { return open_logged_console(launch.state_dir, launch.id, launch.process); };
  manner.before_attach = [&] { expect_parent(parent.get()); };
  manner.started = [&] {
    drop_standard_streams();  // standard error was kept until here for the warnings of `attach`
    tell(parent.get(), kReady, {});
    parent.reset();
    ::malloc_trim(0);
  };
  try {
    leave_the_session();
    supervise(launch, hooks, manner);
  } catch (const std::exception& error) {
    if (parent) tell(parent.get(), kFailed, encode_error(error));
    ::_exit(EXIT_FAILURE);
  }
  ::_exit(EXIT_SUCCESS);
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

int supervise_foreground(const Launch& launch, const Hooks& hooks) {
  Manner manner;
  manner.open_console = [&] { return open_foreground_console(launch.process); };
  return supervise(launch, hooks, manner);
}

void supervise_detached(const Launch& launch, const Hooks& hooks) {
  Pipe news = open_pipe();
  const pid_t supervisor = ::fork();
  if (supervisor < 0) throw system_failure("cannot fork the container's supervisor", errno);
  if (supervisor == 0) {
    news.read.reset();
    be_supervisor(launch, hooks, std::move(news.write));
  }
  news.write.reset();
  const std::string told = read_all(news.read.get());
  if (told.starts_with(kReady)) return;
  reap(supervisor);
  throw_decoded(told.empty() ? std::string_view() : std::string_view(told).substr(1));
}

}  // namespace mb::container
