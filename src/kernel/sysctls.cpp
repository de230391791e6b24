// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/sysctls.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include <fmt/format.h>

#include "netns/sysctl.h"
#include "netns/unique_fd.h"
#include "src/base/error.h"
#include "src/model/sysctls.h"

namespace mb::kernel {
namespace {

namespace fs = std::filesystem;

// These two act in the namespace of the calling thread: /proc/sys/net follows the thread that opens a file in it.

std::optional<std::string> read_here(const std::string& key) {
  const std::string attempt = fmt::format("cannot read sysctl '{}'", key);
  const netns::UniqueFd file(::open(netns::sysctl_path(key).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && errno == ENOENT) return std::nullopt;
  if (!file) throw system_failure(attempt, errno);
  char buffer[4096];
  const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
  if (got < 0) throw system_failure(attempt, errno);
  std::string value(buffer, static_cast<std::size_t>(got));
  if (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

void write_here(const std::string& key, const std::string& value) {
  const std::string attempt = fmt::format("cannot write '{}' to sysctl '{}'", value, key);
  const netns::UniqueFd file(::open(netns::sysctl_path(key).c_str(), O_WRONLY | O_CLOEXEC));
  if (!file && errno == ENOENT) {
    throw system_failure(attempt, ENOENT, "this kernel has no such switch; 'sysctl -a' lists those there are");
  }
  if (!file) throw system_failure(attempt, errno);
  if (::write(file.get(), value.data(), value.size()) < 0) {
    const int error = errno;
    throw system_failure(attempt, error, error == EINVAL ? "the kernel does not take this value" : "");
  }
}

// What switching forwarding on overwrites. Written with slashes, because an interface's name may hold dots.
std::map<std::string, std::string> related_to_forwarding(std::string_view key) {
  const bool v4 = key == kForwarding;
  const std::string conf = v4 ? "net/ipv4/conf/" : "net/ipv6/conf/";
  std::map<std::string, std::string> related;
  const auto note = [&](const std::string& name) {
    if (auto value = read_here(name)) related.emplace(name, std::move(*value));
  };
  if (v4) note(conf + "all/accept_redirects");
  for (const auto& entry : fs::directory_iterator("/proc/sys/" + conf)) {
    const std::string interface = entry.path().filename();
    if (interface != "all") note(conf + interface + "/forwarding");  // `all` is the switch itself
  }
  return related;
}

std::optional<SysctlState> read_state(const SysctlKey& key) {
  const auto value = read_here(key.name);
  if (!value) return std::nullopt;
  SysctlState state{*value, {}};
  // Only while it is off is there something to lose; this keeps the usual case free of reading a file per interface.
  if (is_forwarding_switch(key.name) && *value == "0") state.related = related_to_forwarding(key.name);
  return state;
}

void write_state(const SysctlKey& key, const SysctlState& to) {
  if (read_here(key.name) != to.value) write_here(key.name, to.value);
  for (const auto& [name, value] : to.related) {
    const auto present = read_here(name);
    if (present && *present != value) write_here(name, value);
  }
}

// Runs `function` in the container's namespace, or right here for the host.
template <class Function>
auto in_place_of(Namespaces& namespaces, const Id& container, Function function) {
  if (container.empty()) return function();
  return netns::run_in(namespaces.inside(container).handle(), function);
}

}  // namespace

std::map<SysctlKey, SysctlState> read_sysctls(Namespaces& namespaces, const std::set<SysctlKey>& keys) {
  std::map<SysctlKey, SysctlState> found;
  for (const auto& key : keys) {
    if (!key.container.empty() && !namespaces.is_pinned(key.container)) continue;
    auto state = in_place_of(namespaces, key.container, [&] { return read_state(key); });
    if (state) found.emplace(key, std::move(*state));
  }
  return found;
}

void set_sysctl(Namespaces& namespaces, const SysctlKey& key, const SysctlState& to) {
  in_place_of(namespaces, key.container, [&] { write_state(key, to); });
}

std::optional<std::string> find_host_sysctl(const std::string& name) { return read_here(name); }

bool is_following_advertisements(const std::string& link) {
  const std::string conf = "net/ipv6/conf/" + link;
  return read_here(conf + "/accept_ra") == "1" && read_here(conf + "/forwarding") == "0";
}

std::optional<std::string> ipv6_obstacle() {
  if (!read_here("net/ipv6/conf/all/disable_ipv6")) return "this kernel has no IPv6 (there is no /proc/sys/net/ipv6)";
  for (const std::string of : {"all", "default"}) {
    const std::string key = "net.ipv6.conf." + of + ".disable_ipv6";
    if (read_here(key) == "1") return key + " is 1";
  }
  return std::nullopt;
}

std::string read_host_sysctl(const std::string& name) {
  auto value = read_here(name);
  if (!value) throw system_failure(fmt::format("cannot read sysctl '{}'", name), ENOENT);
  return *value;
}

}  // namespace mb::kernel
