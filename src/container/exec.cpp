// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/exec.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/alive.h"
#include "src/container/attend.h"
#include "src/container/console.h"
#include "src/container/descriptors.h"
#include "src/container/failure.h"
#include "src/container/hostname.h"
#include "src/container/process.h"
#include "src/container/session.h"
#include "src/container/signals.h"
#include "src/container/view.h"

namespace mb::container {
namespace {

constexpr int kNamespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;

[[noreturn]] void not_running(const ExecTarget& target) {
  throw Error(ErrorKind::conflict, fmt::format("container '{}' is not running", target.name.str()));
}

netns::UniqueFd open_init(const ExecTarget& target) {
  auto init = open_process_of(target.state_dir, target.id, target.init_pid);
  if (!init) not_running(target);
  return init;
}

netns::UniqueFd open_pin(const ExecTarget& target) {
  if (target.namespace_path.empty()) return {};
  netns::UniqueFd pin(::open(target.namespace_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!pin) throw system_failure(fmt::format("cannot open '{}'", target.namespace_path), errno);
  return pin;
}

// What leads into the container, opened before the fork so that its absence is noticed there.
struct Door {
  netns::UniqueFd init;
  netns::UniqueFd pin;
};

Door open_door(const ExecTarget& target) {
  if (target.init_pid > 0) return {open_init(target), {}};
  return {{}, open_pin(target)};
}

void join_init(const Door& door, const ExecTarget& target) {
  if (::setns(door.init.get(), kNamespaces) == 0) return;
  if (errno == ESRCH) not_running(target);
  throw system_failure(fmt::format("cannot enter the namespaces of container '{}'", target.name.str()), errno);
}

void enter_bare_namespace(const Door& door, const ExecTarget& target) {
  const std::string what = fmt::format("cannot enter the namespace of container '{}'", target.name.str());
  if (door.pin && ::setns(door.pin.get(), CLONE_NEWNET) != 0) throw system_failure(what, errno);
  if (::unshare(CLONE_NEWNS | CLONE_NEWUTS) != 0) throw system_failure(what, errno);
  View view;
  view.state_dir = target.state_dir;
  view.id = target.id;
  view.own_processes = false;
  view.own_network = static_cast<bool>(door.pin);
  enter_view(view);
  set_hostname(target.hostname);
}

void enter(const Door& door, const ExecTarget& target) {
  if (door.init) {
    join_init(door, target);
  } else {
    enter_bare_namespace(door, target);
  }
}

// The process between us and the command: pid namespaces are entered by children only.
[[noreturn]] void be_joiner(const ProcessSpec& spec, const std::vector<int>& kept,
                            const std::function<void()>& go_there, const Stdio& stdio, Channel channel) noexcept {
  ::prctl(PR_SET_PDEATHSIG, orphaned_signal());
  std::vector<int> open = kept;
  open.insert(open.end(), {channel.fd(), stdio.streams.in, stdio.streams.out, stdio.streams.err});
  close_all_but(std::move(open));
  ::setsid();
  ::umask(022);
  const std::optional<Message> message = channel.receive();
  if (!message || message->word != Word::go) ::_exit(kOursFailed);
  try {
    go_there();
    ::_exit(run_command(spec, {}, stdio, channel));
  } catch (const std::exception& error) {
    channel.send(Word::failed, encode_error(error));
  }
  ::_exit(kOursFailed);
}

int run_and_attend(const ProcessSpec& spec, const std::vector<int>& kept, const std::function<void()>& go_there,
                   const SignalReader& signals) {
  const std::unique_ptr<Console> console = open_foreground_console(spec);
  const Stdio stdio = console->stdio();
  Prepared joiner =
      spawn_process(0, [&](Channel channel) { be_joiner(spec, kept, go_there, stdio, std::move(channel)); });
  joiner.go();
  console->connect(joiner.take_terminal());
  return stay_until_end(joiner, *console, signals);
}

}  // namespace

int exec_elsewhere(const ProcessSpec& spec, const std::vector<int>& kept, const std::function<void()>& enter) {
  return run_and_attend(spec, kept, enter, SignalReader(supervised_signals()));
}

int exec_in_container(const ExecTarget& target, const ProcessSpec& spec) {
  const SignalReader signals(supervised_signals());
  const Door door = open_door(target);
  return run_and_attend(
      spec, {door.init.get(), door.pin.get()}, [&] { enter(door, target); }, signals);
}

}  // namespace mb::container
