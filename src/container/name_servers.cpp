// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/name_servers.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "netns/unique_fd.h"
#include "src/base/error.h"
#include "src/base/text.h"
#include "src/container/descriptors.h"
#include "src/container/detach.h"
#include "src/container/pidfd.h"
#include "src/container/process.h"
#include "src/container/resolver_file.h"
#include "src/container/signals.h"
#include "src/model/name_files.h"

namespace mb::container {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr const char* kProgram = "dnsmasq";
// Where the server sees its directory: any that every host has and that strangers may enter, so that it can also be
// entered after the server has laid down its privileges.
constexpr const char* kSeenAt = "/tmp";

// ------------------------------------------------------------------ who runs

// A POSIX lock, unlike an OFD one, has an owner whom the kernel can name.
struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

// In the process that holds it no other descriptor of the file may ever be closed: the lock would be gone.
netns::UniqueFd hold(const std::string& config) {
  netns::UniqueFd file(::open(config.c_str(), O_RDWR | O_CLOEXEC));
  if (!file) throw system_failure(fmt::format("cannot open '{}'", config), errno);
  struct flock lock = whole_file();
  if (::fcntl(file.get(), F_SETLK, &lock) == 0) return file;
  if (errno == EAGAIN || errno == EACCES) {
    throw Error(ErrorKind::conflict, "the network has a name server already", "try again");
  }
  throw system_failure(fmt::format("cannot lock '{}'", config), errno);
}

// The supervisor's number; none: nobody holds the lock.
std::optional<pid_t> holder(const std::string& config) {
  const netns::UniqueFd file(::open(config.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  struct flock lock = whole_file();
  if (!file || ::fcntl(file.get(), F_GETLK, &lock) != 0) {
    throw system_failure(fmt::format("cannot probe '{}'", config), errno);
  }
  if (lock.l_type == F_UNLCK) return std::nullopt;
  return lock.l_pid;
}

// ------------------------------------------------------------------ what is started

std::optional<std::string> find_program() {
  const char* path = std::getenv("PATH");
  // An ordinary user's PATH has no sbin on Debian.
  const std::string places = fmt::format("{}:/usr/sbin:/usr/local/sbin", path == nullptr ? "" : path);
  for (const auto place : split(places, ':')) {
    if (!place.starts_with('/')) continue;
    std::string candidate = fmt::format("{}/{}", place, kProgram);
    struct stat status {};
    if (::stat(candidate.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return std::nullopt;
}

// In a user namespace with a part of the ids there may be nobody else to become.
bool has_all_users() {
  std::ifstream map("/proc/self/uid_map");
  std::uint64_t inside = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  constexpr std::uint64_t kAll = 4294967295;
  return map >> inside >> outside >> count && count == kAll;
}

Launch launch_of(const std::string& state_dir, const Id& network, const std::string& program) {
  Launch launch;
  launch.id = network;
  launch.state_dir = state_dir;
  launch.attachment = Attachment::host;
  auto& process = launch.process;
  process.argv = {
      program,
      "--keep-in-foreground",
      fmt::format("--conf-file={}/{}", kSeenAt, kNameServerConfig),
      fmt::format("--hostsdir={}/{}", kSeenAt, kNameRecords),
      fmt::format("--resolv-file={}", upstream_file("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")),
      "--pid-file=",
      "--log-facility=-"};
  if (!has_all_users()) process.argv.insert(process.argv.end(), {"--user=root", "--group="});
  process.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  launch.from_state = {{fmt::format("{}/{}", state_dir, name_directory(network)), kSeenAt, true}};
  // To bind to port 53, and to become somebody who can do nothing.
  process.cap_drop = {"ALL"};
  process.cap_add = {"NET_BIND_SERVICE", "SETUID", "SETGID"};
  return launch;
}

// ------------------------------------------------------------------ looking after it

// What the server writes. It has to be read: a server that finds the pipe full stands still.
class Words {
 public:
  explicit Words(netns::UniqueFd source) : source_(std::move(source)) { set_nonblocking(source_.get()); }

  int fd() const { return source_.get(); }
  bool has_begun() const { return begun_; }
  // Its last line, without its name and number.
  std::string last() const {
    const auto text = last_.find(": ");
    return text == std::string::npos ? last_ : last_.substr(text + 2);
  }

  // Returns false at the end.
  bool read() {
    std::array<char, 4096> buffer;
    while (true) {
      const ssize_t got = ::read(source_.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return true;
      if (got <= 0) return false;
      for (const char c : std::string_view(buffer.data(), static_cast<std::size_t>(got))) take(c);
    }
  }

 private:
  void take(char c) {
    constexpr std::size_t kLongest = 1000;
    if (c != '\n') {
      if (line_.size() < kLongest) line_ += c;
      return;
    }
    // Said when all sockets are bound and all records are read.
    if (line_.find("started, version") != std::string::npos) begun_ = true;
    if (!line_.empty()) last_ = std::exchange(line_, {});
  }

  netns::UniqueFd source_;
  std::string line_;
  std::string last_;
  bool begun_ = false;
};

class Supervisor {
 public:
  Supervisor(Launch launch, Caller& caller)
      : launch_(std::move(launch)), caller_(caller), signals_(supervised_signals()) {}

  // Until a signal asks for the end. Throws when the server cannot be started the first time.
  void stay() {
    while (!leave_) {
      const auto since = Clock::now();
      const std::string said = run_once();
      if (leave_) return;
      if (caller_.fd() >= 0) {
        try_again_or_throw(said);
        continue;
      }
      // One that keeps dying is not worth a busy processor.
      constexpr auto kShortLife = std::chrono::seconds(1);
      pause_ = Clock::now() - since > kShortLife ? milliseconds(0) : std::min(pause_ * 2 + milliseconds(100), kLongest);
      wait_for_signal(pause_);
    }
  }

 private:
  static constexpr milliseconds kLongest{10'000};

  // From start to end; what it said last.
  std::string run_once() {
    Pipe words = open_pipe();
    const netns::UniqueFd null = open_null();
    Prepared server = spawn(launch_, {{null.get(), null.get(), words.write.get()}, false, {}});
    server.go();
    words.write.reset();
    Words said(std::move(words.read));
    constexpr auto kPatience = std::chrono::seconds(20);
    const auto deadline = Clock::now() + kPatience;
    bool open = true;
    while (open && !leave_) {
      std::array<pollfd, 2> events{pollfd{said.fd(), POLLIN, 0}, pollfd{signals_.fd(), POLLIN, 0}};
      const bool begins = caller_.fd() >= 0;
      ::poll(events.data(), events.size(), begins ? left_until(deadline) : -1);
      if (events[0].revents != 0) open = said.read();
      if (events[1].revents != 0) read_signals();
      if (begins && said.has_begun()) caller_.ready();
      if (begins && !said.has_begun() && Clock::now() > deadline) {
        throw Error(ErrorKind::failed, fmt::format("{} does not get ready", kProgram));
      }
    }
    return said.last();
  }

  // One that was killed a moment ago with its supervisor may still hold the port.
  void try_again_or_throw(const std::string& said) {
    constexpr int kAttempts = 20;
    constexpr milliseconds kPause{50};
    const bool occupied = said.find("in use") != std::string::npos;
    if (occupied && ++attempts_ < kAttempts) {
      wait_for_signal(kPause);
      return;
    }
    throw Error(ErrorKind::failed, fmt::format("{} says: {}", kProgram, said.empty() ? "nothing" : printable(said)),
                occupied ? "another program answers on port 53 of every address of this host; let it listen on the "
                           "addresses that it is for"
                         : "");
  }

  void wait_for_signal(milliseconds patience) {
    pollfd event{signals_.fd(), POLLIN, 0};
    if (::poll(&event, 1, static_cast<int>(patience.count())) > 0) read_signals();
  }

  void read_signals() {
    while (const auto signal = signals_.next()) {
      if (*signal == SIGTERM) leave_ = true;
    }
  }

  static int left_until(Clock::time_point deadline) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
  }

  Launch launch_;
  Caller& caller_;
  SignalReader signals_;
  bool leave_ = false;
  int attempts_ = 0;
  milliseconds pause_{0};
};

class Dnsmasq final : public kernel::NameServers {
 public:
  explicit Dnsmasq(std::string state_dir) : state_dir_(std::move(state_dir)) {}

  bool available() const override { return find_program().has_value(); }
  bool is_running(const Id& network) const override { return holder(config_of(network)).has_value(); }

  void start(const Id& network) override {
    const auto program = find_program();
    if (!program) throw Error(ErrorKind::failed, fmt::format("{} is not installed", kProgram));
    const auto life = [&](Caller& caller) {
      // In this order: while the lock between verbs is still ours too (it was inherited), nobody else can look, so
      // nobody sees a supervisor that does not hold its own lock yet.
      const netns::UniqueFd lock = hold(config_of(network));
      close_all_but({lock.get(), caller.fd()});
      caller.expect();
      Supervisor(launch_of(state_dir_, network, *program), caller).stay();
    };
    try {
      detach(life, "the supervisor of a name server", true);
    } catch (const Error& failure) {
      Error error(failure.kind(), fmt::format("cannot start the name server: {}", failure.message()), failure.hint(),
                  failure.error_number());
      throw error;
    }
  }

  void stop(const Id& network) override {
    const auto pid = holder(config_of(network));
    if (!pid) return;
    const auto supervisor = open_process(*pid);
    if (holder(config_of(network)) != pid) return;
    if (!supervisor) throw system_failure("cannot reach the supervisor of a name server", errno);
    constexpr milliseconds kPatience{5'000};
    for (const int signal : {SIGTERM, SIGKILL}) {
      send_signal(supervisor, signal);
      pollfd end{supervisor.get(), POLLIN, 0};
      if (::poll(&end, 1, static_cast<int>(kPatience.count())) > 0) return;
    }
    throw Error(ErrorKind::failed, fmt::format("the supervisor of a name server (pid {}) does not end", *pid));
  }

 private:
  std::string config_of(const Id& network) const {
    return fmt::format("{}/{}", state_dir_, name_server_config_path(network));
  }

  std::string state_dir_;
};

}  // namespace

std::shared_ptr<kernel::NameServers> make_name_servers(const std::string& state_dir) {
  return std::make_shared<Dnsmasq>(state_dir);
}

std::string upstream_file(const std::string& host, const std::string& upstream) {
  const auto names_one = [](const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return names_a_server(text.str());
  };
  return !names_one(host) && names_one(upstream) ? upstream : host;
}

}  // namespace mb::container
