// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/port_keeper.h"

#include <netinet/in.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/raw_address.h"
#include "src/container/run_files.h"

namespace mb::container {
namespace {

constexpr auto kFirstWait = std::chrono::milliseconds(10);
constexpr auto kLongestWait = std::chrono::milliseconds(1000);
constexpr std::size_t kOtherFiles = 64;  // what a supervisor has open besides

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

int type_of(Protocol protocol) { return protocol == Protocol::udp ? SOCK_DGRAM : SOCK_STREAM; }

// What fails here shows when the socket is bound.
void set_option(const netns::UniqueFd& socket, int level, int option, int value) {
  [[maybe_unused]] const int ignored = ::setsockopt(socket.get(), level, option, &value, sizeof value);
}

// While the interface is not there (yet) nothing is bound: the socket would get packets.
bool tie_to(const netns::UniqueFd& socket, const std::string& interface) {
  return ::setsockopt(socket.get(), SOL_SOCKET, SO_BINDTODEVICE, interface.c_str(),
                      static_cast<socklen_t>(interface.size())) == 0;
}

// None when the port cannot be had now. The mark tells our sockets from those of programs (src/kernel/listeners.h).
std::optional<netns::UniqueFd> take(const HostPort& port) {
  const int family = port.address.family() == Family::v4 ? AF_INET : AF_INET6;
  netns::UniqueFd socket(
      ::socket(family, type_of(port.protocol) | SOCK_CLOEXEC | SOCK_NONBLOCK, static_cast<int>(port.protocol)));
  // A kernel without SCTP or IPv6 gives the port to nobody else either.
  if (!socket)
    return errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT ? std::optional(std::move(socket)) : std::nullopt;
  set_option(socket, SOL_SOCKET, SO_MARK, static_cast<int>(kHeldPortMark));
  if (family == AF_INET6) set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  // What is left of connections of a server that has ended must not be in the way; a server that comes must find us there.
  const bool has_remains = port.protocol != Protocol::udp;
  if (has_remains) set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  auto address = to_raw(port.address, port.port);
  const bool bound = tie_to(socket, port.interface) && ::bind(socket.get(), address.raw(), address.size) == 0;
  if (!bound) return std::nullopt;
  if (has_remains) set_option(socket, SOL_SOCKET, SO_REUSEADDR, 0);
  return socket;
}

// How many sockets this process may have. The container was begun before and keeps the limit that it had.
std::size_t room_for(std::size_t sockets) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < sockets + kOtherFiles && limit.rlim_cur < limit.rlim_max) {
    rlimit higher{limit.rlim_max, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &higher) == 0) limit = higher;
  }
  return limit.rlim_cur > kOtherFiles ? std::min<std::size_t>(sockets, limit.rlim_cur - kOtherFiles) : 0;
}

itimerspec once_after(std::chrono::milliseconds wait) {
  itimerspec when{};
  when.it_value.tv_sec = wait.count() / 1000;
  when.it_value.tv_nsec = wait.count() % 1000 * 1'000'000;
  return when;
}

void drain(int fd) {
  std::array<char, 4096> buffer;
  while (::read(fd, buffer.data(), buffer.size()) > 0) {
  }
}

}  // namespace

PortKeeper::PortKeeper(const std::string& state_dir, const Id& container)
    : path_(directory_of(state_dir, container) + "/ports"),
      changes_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
      again_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
      wait_(kFirstWait) {
  if (!changes_ || !again_) throw system_failure("cannot watch the container's published ports", errno);
  if (::inotify_add_watch(changes_.get(), path_.c_str(), IN_CLOSE_WRITE) < 0) {
    throw system_failure(fmt::format("cannot watch '{}'", path_), errno);
  }
}

bool PortKeeper::keep() {
  auto wanted = parse_host_ports(read_file(path_), kMost);
  wanted.resize(room_for(wanted.size()));
  bool all_held = true;
  for (const auto& port : wanted) {
    if (held_.contains(port)) continue;
    if (auto socket = take(port)) {
      held_.emplace(port, std::move(*socket));
    } else {
      all_held = false;
    }
  }
  const std::set<HostPort> all(wanted.begin(), wanted.end());
  std::erase_if(held_, [&](const auto& entry) { return !all.contains(entry.first); });
  return all_held;
}

void PortKeeper::keep_and_come_back() {
  const bool all_held = keep();
  const auto when = once_after(all_held ? std::chrono::milliseconds(0) : wait_);  // 0: never
  ::timerfd_settime(again_.get(), 0, &when, nullptr);
  wait_ = all_held ? kFirstWait : std::min(wait_ * 2, kLongestWait);
}

void PortKeeper::join(PollLoop& loop) {
  loop.add_readable(changes_.get(), [this] {
    drain(changes_.get());
    wait_ = kFirstWait;
    keep_and_come_back();
  });
  loop.add_readable(again_.get(), [this] {
    drain(again_.get());
    keep_and_come_back();
  });
  keep_and_come_back();
}

}  // namespace mb::container
