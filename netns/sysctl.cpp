// SPDX-License-Identifier: GPL-2.0-or-later
//
// /proc/sys/net shows the namespace of the *thread* that opens it (net_ctl_root.lookup in the
// kernel's net/sysctl_net.c), unlike /proc/net, which is /proc/self/net and shows that of the
// process's first thread. So it is enough to open the file in run_in.
#include "netns/sysctl.h"

#include <fcntl.h>

#include <cerrno>
#include <string_view>

#include "netns/failure.h"

namespace netns {
namespace {

// With a first separator '.', dots separate and a slash stands for a dot inside a name.
std::string with_slashes(std::string key) {
  const auto first = key.find_first_of("./");
  if (first == std::string::npos || key[first] == '/') return key;
  for (char& c : key) {
    if (c == '.') {
      c = '/';
    } else if (c == '/') {
      c = '.';
    }
  }
  return key;
}

// No empty part and no "..": a key is a name below net, never a way out of it.
bool has_only_names(std::string_view path) {
  while (true) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

UniqueFd open_key(const std::string& key, int flags, const std::string& attempt) {
  UniqueFd file(::open(sysctl_path(key).c_str(), flags | O_CLOEXEC));
  if (!file) fail(errno, attempt);
  return file;
}

std::string read_whole(int fd, const std::string& attempt) {
  std::string text;
  char buffer[1024];
  while (true) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0) fail(errno, attempt);
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

}  // namespace

std::string sysctl_path(const std::string& key) {
  const std::string path = with_slashes(key);
  if (path.rfind("net/", 0) != 0 || !has_only_names(path)) {
    fail(EINVAL, "'" + key + "' is not a sysctl of a network namespace");
  }
  return "/proc/sys/" + path;
}

std::string read_sysctl(const Namespace& target, const std::string& key) {
  const std::string attempt = "cannot read sysctl '" + key + "'";
  std::string value = run_in(target, [&] { return read_whole(open_key(key, O_RDONLY, attempt).get(), attempt); });
  if (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

void write_sysctl(const Namespace& target, const std::string& key, const std::string& value) {
  const std::string attempt = "cannot write '" + value + "' to sysctl '" + key + "'";
  run_in(target, [&] {
    const UniqueFd file = open_key(key, O_WRONLY, attempt);
    // One write: the kernel takes each write to a sysctl as a whole new value.
    const ssize_t written = ::write(file.get(), value.data(), value.size());
    if (written < 0) fail(errno, attempt);
    if (static_cast<std::size_t>(written) != value.size()) fail(EINVAL, attempt);
  });
}

}  // namespace netns
