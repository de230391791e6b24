// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/fault_cli.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

#include "src/container/alive.h"
#include "src/container/name_servers.h"
#include "src/engine/session.h"
#include "src/store/lock.h"
#include "tests/support/fault_host.h"

#ifndef MB_BINARY
#define MB_BINARY ""
#endif

namespace mb::test {
namespace {

namespace fs = std::filesystem;

// In the environment of every process that comes from a verb of ours: this is how they are found.
constexpr const char* kMark = "MB_FAULT_HOST";

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::string new_directory() {
  char name[] = "/run/fault-XXXXXX";
  if (::mkdtemp(name) == nullptr) throw std::runtime_error("cannot create a directory");
  return name;
}

pid_t parent_of(pid_t pid) {
  const std::string stat = read_file(fmt::format("/proc/{}/stat", pid));
  const auto after_name = stat.rfind(')');
  if (after_name == std::string::npos) return 0;
  std::istringstream rest(stat.substr(after_name + 1));
  char state = 0;
  pid_t parent = 0;
  rest >> state >> parent;
  return parent;
}

bool is_tracer(pid_t pid) { return read_file(fmt::format("/proc/{}/comm", pid)) == "strace\n"; }

netns::UniqueFd open_process(pid_t pid) { return netns::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

bool wait_for(const netns::UniqueFd& process, std::chrono::milliseconds patience) {
  pollfd entry{process.get(), POLLIN, 0};
  return !process || ::poll(&entry, 1, static_cast<int>(patience.count())) > 0;
}

}  // namespace

CliHost::CliHost() : directory_(new_directory()), state_dir_(directory_ + "/state") {
  must(
      "iptables-legacy-restore <<'END'\n"
      "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:theirs - [0:0]\n"
      "-A FORWARD -s 203.0.113.0/24 -j theirs\n-A theirs -p tcp -m tcp --dport 25 -j REJECT\nCOMMIT\n"
      "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
      "-A PREROUTING -p tcp -m tcp --dport 2222 -j REDIRECT --to-ports 22\n"
      "-A POSTROUTING -s 203.0.113.0/24 -j MASQUERADE\nCOMMIT\nEND");
}

CliHost::~CliHost() {
  for (const pid_t pid : processes()) ::kill(pid, SIGKILL);
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(state_dir_ + "/netns", absent))
    sh("umount -l " + entry.path().string());
  sh("umount -l " + state_dir_ + "/netns; rm -rf " + directory_ + " /run/netns/mb-*");
}

netns::Command CliHost::command(const std::vector<std::string>& before, const std::string& words) const {
  std::vector<std::string> argv = before;
  const char* other = std::getenv("MINIBRIDGE");  // another build of the program
  argv.emplace_back(other != nullptr ? other : MB_BINARY);
  const auto rest = words_of(words);
  argv.insert(argv.end(), rest.begin(), rest.end());
  netns::Command command(argv);
  command.environment = {"MINIBRIDGE_STATE_DIR=" + state_dir_, std::string(kMark) + "=" + directory_};
  return command;
}

netns::Finished CliHost::mb(const std::string& words) const { return netns::run(command({}, words)); }
netns::Child CliHost::start(const std::string& words, int output) const {
  return netns::Child(command({}, words), {output, output});
}
netns::Finished CliHost::mb_under(const std::vector<std::string>& before, const std::string& words) const {
  return netns::run(command(before, words));
}

engine::Engine CliHost::engine() const {
  engine::Setup setup;
  setup.state_dir = state_dir_;
  setup.is_alive = [dir = state_dir_](const Id& id) { return mb::container::is_alive(dir, id); };
  setup.name_servers = mb::container::make_name_servers(state_dir_);
  setup.now = [] { return std::int64_t{0}; };
  setup.draw_state_id = [] { return "00000000"; };
  return engine::Engine(setup);
}

std::vector<Container> CliHost::containers() const { return engine::open_state(engine().setup())->containers(); }
std::vector<Network> CliHost::networks() const { return engine::open_state(engine().setup())->networks(); }

bool CliHost::has(const std::string& container) const {
  return engine::open_state(engine().setup())->find_container(container).has_value();
}

std::vector<pid_t> CliHost::processes() const {
  const std::string mark = std::string(kMark) + "=" + directory_;
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || *end != '\0') continue;
    const std::string environment = '\0' + read_file("/proc/" + name + "/environ");
    if (environment.find('\0' + mark) == std::string::npos || is_tracer(pid)) continue;
    found.push_back(pid);
  }
  return found;
}

std::vector<pid_t> CliHost::stray_processes() const {
  std::set<pid_t> supervisors;
  for (const auto& container : containers()) {
    if (container.status == ContainerStatus::running) supervisors.insert(container.supervisor_pid);
  }
  // One of a verb that was killed goes with the next verb; engine().check() tells when it did not.
  for (const pid_t pid : name_server_supervisors(state_dir_)) supervisors.insert(pid);
  std::vector<pid_t> stray;
  for (const pid_t pid : processes()) {
    pid_t ancestor = pid;
    while (ancestor > 1 && !supervisors.contains(ancestor)) ancestor = parent_of(ancestor);
    if (ancestor <= 1) stray.push_back(pid);
  }
  return stray;
}

std::string CliHost::settle() const {
  // A process may stop being stray without ending (its container is committed), so look again from time to time.
  constexpr auto kLookAgain = std::chrono::milliseconds(20);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (true) {
    const auto stray = stray_processes();
    if (stray.empty()) return {};
    if (std::chrono::steady_clock::now() > deadline) {
      std::string text;
      for (const pid_t pid : stray) {
        auto words = read_file(fmt::format("/proc/{}/cmdline", pid));
        std::replace(words.begin(), words.end(), '\0', ' ');
        text += fmt::format("process {} is left without an owner: {}\n", pid, words);
      }
      return text;
    }
    wait_for(open_process(stray.front()), kLookAgain);
  }
}

std::string CliHost::complaints() const {
  if (!fs::exists(state_dir_)) return find_orphans(state_dir_);
  // A supervisor that has just noticed the end of its container may be about to clear it away, and has not done wrong.
  const auto nobody_in_the_middle = store::StateLock::take(state_dir_);
  std::string text = find_orphans(state_dir_);
  for (const auto& step : engine().check().plan) text += fmt::format("to be repaired: {}\n", print(step));
  return text;
}

std::string foreign_rules() {
  std::istringstream dump(must("iptables-legacy-save"));
  std::string text;
  for (std::string line; std::getline(dump, line);) {
    if (line.starts_with('#') || line.starts_with('*') || line == "COMMIT" ||
        line.find("MINIBRIDGE") != std::string::npos)
      continue;
    const bool untouched_policy = line.starts_with(':') && line.find(" ACCEPT ") != std::string::npos;
    if (!untouched_policy) text += line.substr(0, line.find(" [")) + "\n";
  }
  return text;
}

bool ends(pid_t pid, std::chrono::milliseconds deadline) { return wait_for(open_process(pid), deadline); }

std::vector<pid_t> name_server_supervisors(const std::string& state_dir) {
  std::vector<pid_t> found;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(state_dir + "/names", absent)) {
    const netns::UniqueFd file(::open((entry.path() / "dnsmasq.conf").c_str(), O_RDONLY | O_CLOEXEC));
    struct flock lock {};
    lock.l_type = F_WRLCK;
    if (file && ::fcntl(file.get(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) found.push_back(lock.l_pid);
  }
  return found;
}

std::vector<pid_t> children_of(pid_t pid) {
  std::istringstream list(read_file(fmt::format("/proc/{0}/task/{0}/children", pid)));
  std::vector<pid_t> children;
  for (pid_t child = 0; list >> child;) children.push_back(child);
  return children;
}

}  // namespace mb::test
