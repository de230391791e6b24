// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/lifecycle.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "netns/unique_fd.h"
#include "src/base/error.h"
#include "src/container/alive.h"
#include "src/container/attend.h"
#include "src/container/descriptors.h"
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

// The end of a container as changes.
std::vector<Change> ended(const engine::Setup& setup, const Id& id, std::optional<int> exit_status) {
  return {change::EndContainer{id, exit_status, setup.now()}};
}

// What removes rolls forward, so however this ends, the next command finishes it.
void clear_away(const engine::Engine& engine, const Container& container, int exit_status) {
  try {
    engine.run(ended(engine.setup(), container.id, exit_status));
  } catch (const std::exception& failure) {
    Error error(ErrorKind::failed, fmt::format("container '{}' could not be cleared away", container.name.str()),
                "the next command does it, or 'minibridge repair'");
    error.add_cause(as_error(failure));
    throw error;
  }
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
  hooks.ended = [&engine, container = request.add.container](int exit_status) {
    clear_away(engine, container, exit_status);
  };
  hold_ports(hooks, engine, request.add.container);
  return hooks;
}

// A running container's two processes, held.
struct Held {
  Held(const engine::Setup& setup, const Container& container)
      : name(container.name),
        supervisor(open_process_of(setup.state_dir, container.id, container.supervisor_pid)),
        init(open_process_of(setup.state_dir, container.id, container.init_pid)) {}

  Name name;
  netns::UniqueFd supervisor;
  netns::UniqueFd init;
};

bool send(const netns::UniqueFd& process, int signal) { return process && send_signal(process, signal) == 0; }

// Whether the process ended within the time.
bool wait_for(const netns::UniqueFd& process, std::chrono::milliseconds patience) {
  return !process || wait_readable(process.get(), patience);
}

// A supervisor clears away under the lock, which takes its time on a busy host.
void wait_until_cleared_away(const Held& held, std::chrono::milliseconds patience) {
  if (wait_for(held.supervisor, patience)) return;
  throw Error(ErrorKind::failed,
              fmt::format("the supervisor of container '{}' has not cleared it away within {} seconds", held.name.str(),
                          std::chrono::duration_cast<std::chrono::seconds>(patience).count()),
              "is it stopped? Once it goes on, or is killed, 'minibridge repair' finishes it");
}

}  // namespace

Ended run_foreground(const engine::Engine& engine, RunRequest request, const Notify& notify) {
  request.add.container.remove_when_ended = true;
  const auto launch = launch_of(engine.setup(), request.add.container);
  auto hooks = hooks_for_run(engine, request, notify);
  Ended end;
  hooks.ended = [&end, clear = hooks.ended](int exit_status) {
    try {
      clear(exit_status);
    } catch (const Error& failure) {  // that must not hide how the command ended
      end.left_over = failure;
    }
  };
  end.exit_status = supervise_foreground(launch, hooks);
  return end;
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
  hooks.ended = [&engine, &container](int exit_status) { clear_away(engine, container, exit_status); };
  hold_ports(hooks, engine, container);
  supervise_detached(launch_of(engine.setup(), container), hooks);
}

void require_process(const Container& container) {
  if (container.kind == ContainerKind::process) return;
  throw Error(ErrorKind::conflict,
              fmt::format("container '{}' is a network namespace without a process", container.name.str()),
              fmt::format("run something in it with 'minibridge exec {} -- CMD'", container.name.str()));
}

void kill(const engine::Setup& setup, const Container& container, int signal) {
  require_process(container);
  const Held held(setup, container);
  const bool runs = container.status == ContainerStatus::running;
  if (!runs || !send(held.init, signal == SIGSTOP ? stopping_signal() : signal)) {
    throw Error(ErrorKind::conflict, fmt::format("container '{}' is not running", container.name.str()),
                fmt::format("'minibridge start {}' runs it again", container.name.str()));
  }
  if (signal == SIGKILL) wait_until_cleared_away(held, kClearingAway);
}

void stop(const engine::Setup& setup, const std::vector<Container>& containers, std::chrono::milliseconds patience,
          std::chrono::milliseconds clearing_away) {
  std::vector<Held> stopping;
  for (const auto& container : containers) {
    if (container.kind != ContainerKind::process || container.status != ContainerStatus::running) continue;
    Held one(setup, container);
    send(one.init, patience.count() == 0 ? SIGKILL : SIGTERM);
    stopping.push_back(std::move(one));
  }
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (const auto& one : stopping) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (!wait_for(one.init, std::max(left, std::chrono::milliseconds(0)))) send(one.init, SIGKILL);
  }
  for (const auto& one : stopping) wait_until_cleared_away(one, clearing_away);
}

int wait_for_end(const engine::Setup& setup, const Container& container) {
  require_process(container);
  if (!engine::is_running(setup, container)) {
    if (container.exit_status) return *container.exit_status;
    if (container.status != ContainerStatus::running) return kKilled;
  }
  return ExitWaiter(setup.state_dir, container.id, container.supervisor_pid).wait();
}

}  // namespace mb::container
