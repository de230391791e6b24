// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/world.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/klog.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/container/descriptors.h"
#include "src/container/failure.h"
#include "src/lab/build.h"
#include "src/lab/server.h"

namespace mb::lab {
namespace {

using namespace std::chrono_literals;

constexpr auto kSetupPatience = 60s;

bool has_ended(int pidfd) {
  pollfd entry{pidfd, POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0;
}

std::string log_path(std::string_view node, const std::string& service) {
  std::string name = service;
  std::replace(name.begin(), name.end(), '/', '_');
  return fmt::format("{}/log/{}-{}", kLabDir, node, name);
}

std::string cannot_start(std::string_view node, const Service& service, std::string_view why) {
  return fmt::format("{}: node '{}': cannot start service '{}': {}", service.where, node, service.name, why);
}

}  // namespace

World::World(Topology topology) : topology_(std::move(topology)), rooms_(build_network(topology_)) {
  for (const Node& node : topology_.nodes) {
    for (const Service& service : node.services) start_service(node.name.str(), service);
  }
  for (const Node& node : topology_.nodes) run_setup(node);
}

const Rooms& World::rooms(std::string_view node) const { return rooms_.at(topology_.node(node).name.str()); }

netns::Command World::inside(std::string_view node, netns::Command command) const {
  const Rooms& place = rooms(node);
  command.also_enter = {place.mounts.get(), place.uts.get()};
  command.environment.insert(command.environment.begin(),
                             {fmt::format("MINIBRIDGE_NODE={}", node), fmt::format("HOSTNAME={}", node)});
  command.own_session = true;
  return command;
}

World::Result World::run(std::string_view node, netns::Command command, std::chrono::milliseconds patience) const {
  Result result;
  try {
    auto finished = netns::run_for(inside(node, std::move(command)), network(node), patience);
    result = {finished.status, std::move(finished.out), std::move(finished.err), finished.timed_out};
  } catch (const std::system_error& error) {
    const int number = error.code().value();
    if (number != ENOENT && number != EACCES && number != ENOEXEC) throw;
    result.status = number == ENOENT ? container::kCommandNotFound : container::kCannotExecute;
    result.err = fmt::format("{}\n", error.what());
  }
  return result;
}

netns::Child World::start(std::string_view node, netns::Command command, netns::Streams streams) const {
  return {inside(node, std::move(command)), network(node), streams};
}

netns::Child World::run_in_background(std::string_view node, const Service& service) const {
  const std::string path = log_path(node, service.name);
  const netns::UniqueFd log(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log) throw system_failure(fmt::format("cannot open '{}' in the lab", path), errno);
  return start(node, netns::Command(service.command), {log.get(), log.get()});
}

void World::start_service(std::string_view node, const Service& service) {
  const std::pair<std::string, std::string> key(topology_.node(node).name.str(), service.name);
  if (is_running(node, service.name)) {
    throw Error(ErrorKind::conflict, fmt::format("service '{}' of node '{}' is running already", service.name, node));
  }
  services_.erase(key);
  try {
    if (service.command.empty()) {
      services_.emplace(key, serve_echo(network(node), service.echo));
    } else {
      services_.emplace(key, run_in_background(node, service));
    }
  } catch (const Error& error) {
    throw Error(error.kind(), cannot_start(node, service, error.message()), error.hint(), error.error_number());
  } catch (const std::system_error& error) {
    throw Error(ErrorKind::failed, cannot_start(node, service, error.what()), {}, error.code().value());
  }
}

void World::stop_service(std::string_view node, std::string_view name) {
  const auto found = services_.find({std::string(node), std::string(name)});
  if (found == services_.end()) {
    throw Error(ErrorKind::not_found, fmt::format("node '{}' has no service '{}' that runs", node, printable(name)));
  }
  if (auto* child = std::get_if<netns::Child>(&found->second)) child->kill_session(SIGKILL);
  services_.erase(found);
}

bool World::is_running(std::string_view node, std::string_view name) const {
  const auto found = services_.find({std::string(node), std::string(name)});
  if (found == services_.end()) return false;
  return std::visit([](const auto& process) { return !has_ended(process.pidfd()); }, found->second);
}

void World::run_setup(const Node& node) const {
  for (const auto& [line, where] : node.setup) {
    const Result result = run(node.name.str(), {"/bin/sh", "-c", line}, kSetupPatience);
    if (result.status == 0) continue;
    std::string said = result.err.empty() ? result.out : result.err;
    while (!said.empty() && said.back() == '\n') said.pop_back();
    throw Error(
        ErrorKind::failed,
        fmt::format("{}: node '{}': its setup failed with status {}: {}", where, node.name.str(), result.status, line),
        said);
  }
}

bool World::has_user_ids() {
  std::ifstream map("/proc/self/uid_map");
  std::uint64_t inside = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  std::uint64_t all = 0;
  while (map >> inside >> outside >> count) all += count;
  return all > 1;
}

bool World::has_br_netfilter() { return ::access("/proc/sys/net/bridge/bridge-nf-call-iptables", F_OK) == 0; }

bool World::has_kernel_log() {
  constexpr int kSizeOfLog = 10;  // SYSLOG_ACTION_SIZE_BUFFER (syslog(2)), which needs the same permission as reading
  return ::klogctl(kSizeOfLog, nullptr, 0) >= 0;
}

void World::detach() {
  ::prctl(PR_SET_PDEATHSIG, 0);
  container::drop_standard_streams();
}

void World::stay() {
  // It is blocked since before the birth of this process, so none is missed.
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  while (true) {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    ::sigwaitinfo(&child_ended, nullptr);
  }
}

}  // namespace mb::lab
