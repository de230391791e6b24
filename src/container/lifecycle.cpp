// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/lifecycle.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "netns/unique_fd.h"
#include "src/base/error.h"
#include "src/container/alive.h"
#include "src/container/failure.h"
#include "src/container/pidfd.h"
#include "src/container/port_keeper.h"
#include "src/container/run_files.h"
#include "src/container/supervise.h"

namespace mb::container {
namespace {

Launch launch_of(const engine::Setup& setup, const Container& container) {
  auto served = container.publish;
  served.insert(served.end(), container.exposed.begin(), container.exposed.end());
  return {container.id, container.name, setup.state_dir, container.attachment, container.hostname, container.process,
          {},           served};
}

// The end of a container as changes: taken out, and removed as well when it never really began.
std::vector<Change> ended(const engine::Setup& setup, const Id& id, std::optional<int> exit_status) {
  return {change::EndContainer{id, exit_status, setup.now()}};
}

// The container's host ports are its own from before its command begins until its supervisor has ended.
void hold_ports(Hooks& hooks, const engine::Engine& engine, const Container& container) {
  if (container.attachment == Attachment::host) return;
  const auto keeper = std::make_shared<std::optional<PortKeeper>>();
  hooks.attached = [keeper, &engine, id = container.id] {
    keeper->emplace(engine.setup().state_dir, id);  // the pipe has made the directory
    (*keeper)->keep();
  };
  hooks.join = [keeper](PollLoop& loop) { (*keeper)->join(loop); };
}

Hooks hooks_for_run(const engine::Engine& engine, const RunRequest& request, const Notify& notify) {
  const Id id = request.add.container.id;
  const bool kept_when_ended = !request.add.container.remove_when_ended;
  Hooks hooks;
  hooks.attach = [&engine, request, notify](const Prepared& prepared) {
    auto changes = request.before;
    auto add = request.add;
    add.container.status = ContainerStatus::running;
    add.container.supervisor_pid = getpid();
    add.container.init_pid = prepared.init_pid();
    if (add.container.attachment != Attachment::host) add.container.namespace_source = prepared.namespace_source();
    add.container.started_at = engine.setup().now();
    changes.emplace_back(std::move(add));
    notify(engine.run(changes).notices);
  };
  hooks.failed = [&engine, id, kept_when_ended] {
    auto changes = ended(engine.setup(), id, std::nullopt);
    if (kept_when_ended) changes.emplace_back(change::RemoveContainer{id});
    engine.run(changes);
  };
  hooks.ended = [&engine, id](int exit_status) { engine.run(ended(engine.setup(), id, exit_status)); };
  hold_ports(hooks, engine, request.add.container);
  return hooks;
}

bool runs(const engine::Setup& setup, const Container& container) {
  return container.status == ContainerStatus::running && setup.is_alive(container.id);
}

// Init's descriptor, taken while the supervisor lives: as long as it does, the number means init and nobody else.
netns::UniqueFd open_init(const engine::Setup& setup, const Container& container) {
  auto init = open_process(container.init_pid);
  if (!setup.is_alive(container.id)) return {};
  return init;
}

bool send(const netns::UniqueFd& process, int signal) {
  return process.get() >= 0 && send_signal(process, signal) == 0;
}

// Whether the process ended within the time.
bool wait_for(const netns::UniqueFd& process, std::chrono::milliseconds patience) {
  if (process.get() < 0) return true;
  pollfd waiting{process.get(), POLLIN, 0};
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const int found = poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (found > 0) return true;
    if (found == 0) return false;
    if (errno != EINTR) throw system_failure("cannot wait for a process", errno);
  }
}

}  // namespace

int run_foreground(const engine::Engine& engine, RunRequest request, const Notify& notify) {
  request.add.container.remove_when_ended = true;
  const auto launch = launch_of(engine.setup(), request.add.container);
  return supervise_foreground(launch, hooks_for_run(engine, request, notify));
}

void run_detached(const engine::Engine& engine, const RunRequest& request, const Notify& notify) {
  const auto launch = launch_of(engine.setup(), request.add.container);
  supervise_detached(launch, hooks_for_run(engine, request, notify));
}

void start(const engine::Engine& engine, const Container& container, const change::StartContainer& start,
           const Notify& notify) {
  Hooks hooks;
  hooks.attach = [&engine, start, &container, notify](const Prepared& prepared) {
    auto change = start;
    change.supervisor_pid = getpid();
    change.init_pid = prepared.init_pid();
    if (container.attachment != Attachment::host) change.namespace_source = prepared.namespace_source();
    change.started_at = engine.setup().now();
    notify(engine.run({change}).notices);
  };
  hooks.failed = [&engine, &container] { engine.run(ended(engine.setup(), container.id, std::nullopt)); };
  hooks.ended = [&engine, id = container.id](int exit_status) { engine.run(ended(engine.setup(), id, exit_status)); };
  hold_ports(hooks, engine, container);
  supervise_detached(launch_of(engine.setup(), container), hooks);
}

void require_process(const Container& container) {
  if (container.kind == ContainerKind::process) return;
  throw Error(ErrorKind::conflict,
              fmt::format("container '{}' is a network namespace without a process", container.name.str()),
              fmt::format("run something in it with 'minibridge exec {} -- CMD'", container.name.str()));
}

void send_signal(const engine::Setup& setup, const Container& container, int signal) {
  require_process(container);
  if (!runs(setup, container) || !send(open_init(setup, container), signal)) {
    throw Error(ErrorKind::conflict, fmt::format("container '{}' is not running", container.name.str()),
                fmt::format("'minibridge start {}' runs it again", container.name.str()));
  }
}

void stop(const engine::Setup& setup, const std::vector<Container>& containers, std::chrono::milliseconds patience) {
  struct Stopping {
    netns::UniqueFd supervisor;
    netns::UniqueFd init;
  };
  std::vector<Stopping> stopping;
  for (const auto& container : containers) {
    if (container.kind != ContainerKind::process || !runs(setup, container)) continue;
    Stopping one{open_process(container.supervisor_pid), open_init(setup, container)};
    send(one.init, patience.count() == 0 ? SIGKILL : SIGTERM);
    stopping.push_back(std::move(one));
  }
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (const auto& one : stopping) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (!wait_for(one.init, std::max(left, std::chrono::milliseconds(0)))) send(one.init, SIGKILL);
  }
  // A supervisor clears away under the lock; give a busy host time, but do not hang on one that is stopped itself.
  constexpr auto kClearingAway = std::chrono::minutes(1);
  for (const auto& one : stopping) wait_for(one.supervisor, kClearingAway);
}

int wait_for_end(const engine::Setup& setup, const Container& container) {
  require_process(container);
  if (!runs(setup, container)) {
    if (container.exit_status) return *container.exit_status;
    if (container.status != ContainerStatus::running) return kKilled;
  }
  return ExitWaiter(setup.state_dir, container.id, container.supervisor_pid).wait();
}

}  // namespace mb::container
