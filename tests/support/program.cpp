// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/program.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>

#include "tests/support/fault_host.h"
#include "tests/support/world.h"

#ifndef MB_BINARY
#define MB_BINARY ""
#endif

namespace mb::test {
namespace {

namespace fs = std::filesystem;

std::string new_directory() {
  char name[] = "/run/program-XXXXXX";
  if (::mkdtemp(name) == nullptr) throw std::runtime_error("cannot create a directory");
  fs::permissions(name, fs::perms(0755));
  return name;
}

}  // namespace

Program::Program() : directory_(new_directory()) {
  const char* other_build = ::getenv("MINIBRIDGE");  // ctest names the one beside the tests
  const std::string programs = fs::path(other_build != nullptr ? other_build : MB_BINARY).parent_path().string();
  const std::string path = ::getenv("PATH");
  if (!path.starts_with(programs + ":")) ::setenv("PATH", (programs + ":" + path).c_str(), 1);
  ::setenv("MINIBRIDGE_STATE_DIR", state_dir().c_str(), 1);
}

Program::~Program() {
  [[maybe_unused]] const auto ignored = sh("minibridge down");
  std::error_code error;
  fs::remove_all(directory_, error);
}

netns::Finished Program::mb(const std::string& words) { return sh("minibridge " + words); }

std::string Program::must_mb(const std::string& words) { return must("minibridge " + words); }

nlohmann::json Program::json(const std::string& words) {
  return nlohmann::json::parse(must("minibridge --format json " + words));
}

netns::Namespace Program::namespace_of(const std::string& container) {
  return netns::Namespace::open("/run/netns/mb-" + container);
}

nlohmann::json Program::inspect(const std::string& name) {
  return nlohmann::json::parse(must_mb("inspect " + name)).at(0);
}

std::string Program::ip_of(const std::string& container) {
  const auto ip = inspect(container).at("networks").at(0).at("ip");
  return ip.is_null() ? "" : ip.get<std::string>();
}

std::string Program::look_at_state() const {
  // The database's own files come and go with its readers; what is in it is shown instead. The file that the living
  // lock says nothing by being there.
  static const std::set<std::string> kAside{"state.db", "state.db-wal", "state.db-shm", "alive"};
  std::vector<std::string> paths;
  if (!fs::exists(state_dir())) return "there is no state directory\n";
  for (const auto& entry : fs::recursive_directory_iterator(state_dir())) {
    if (!kAside.contains(entry.path().filename())) paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  std::string text;
  for (const auto& path : paths) text += path + '\n';
  return text + dump_wishes(state_dir());
}

std::string Program::write(const std::string& name, const std::string& text) const {
  const std::string path = directory_ + "/" + name;
  std::ofstream(path) << text;
  return path;
}

std::string read_text(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

void install_foreign_rules() {
  must(
      "iptables-legacy-restore -c <<'END'\n"
      "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
      ":POSTROUTING ACCEPT [0:0]\n[7:700] -A PREROUTING -s 203.0.113.7/32 -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n"
      "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
      "[3:180] -A PREROUTING -d 203.0.113.1/32 -p tcp -m tcp --dport 2222 -j REDIRECT --to-ports 22\n"
      "[9:999] -A POSTROUTING -s 203.0.113.0/24 -j MASQUERADE\nCOMMIT\n"
      "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:theirs - [0:0]\n"
      "[5:500] -A FORWARD -s 203.0.113.0/24 -j theirs\n"
      "[1:60] -A theirs -p tcp -m tcp --dport 25 -j REJECT --reject-with icmp-port-unreachable\n"
      "[4:240] -A theirs -m string --string \"minibridge\" --algo bm --to 65535 -j DROP\nCOMMIT\n"
      "END");
}

bool appears(const std::string& path) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  const netns::UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ::inotify_add_watch(watch.get(), fs::path(path).parent_path().c_str(), IN_CREATE | IN_MOVED_TO);
  while (!fs::exists(path)) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    pollfd entry{watch.get(), POLLIN, 0};
    if (left <= 0 || ::poll(&entry, 1, static_cast<int>(left)) == 0) return fs::exists(path);
    char events[4096];
    while (::read(watch.get(), events, sizeof events) > 0) {
    }
  }
  return true;
}

}  // namespace mb::test
