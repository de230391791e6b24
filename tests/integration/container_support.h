// SPDX-License-Identifier: GPL-2.0-or-later
//
// Containers without an engine: a state directory of their own, and a foreground run in a child whose streams the test
// holds.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "src/container/alive.h"
#include "src/container/descriptors.h"
#include "src/container/failure.h"
#include "src/container/pidfd.h"
#include "src/container/supervise.h"
#include "tests/support/world.h"

namespace mb::container::test {

constexpr int kDeadlineMs = 30'000;
constexpr int kOurs = 125;
// For scripts with traps: `wait` takes a signal at any moment, `read` would miss one that comes just before it blocks.
constexpr const char* kWaits = "echo ready; while :; do sleep 1000 & wait; done";

inline bool readable(int fd, int patience_ms = kDeadlineMs) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, patience_ms) > 0;
}

inline void write_text(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

inline std::string read_text(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A directory below the test's private /run that goes with the object.
class Directory {
 public:
  Directory() {
    char name[] = "/run/container-test-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw std::runtime_error("cannot create a directory");
    path_ = name;
    ::chmod(name, 0755);
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline Launch launch_of(const Directory& state, std::vector<std::string> argv) {
  Launch launch;
  launch.id = "0123456789ab";
  launch.name = Name::parse("web");
  launch.state_dir = state.path();
  launch.attachment = Attachment::none;
  launch.hostname = "web";
  launch.process.argv = std::move(argv);
  // In the program the pipe makes it, while it attaches.
  std::filesystem::create_directories(launch.state_dir + "/containers/" + launch.id);
  launch.process.environment = {"PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", "TERM=dumb"};
  return launch;
}

inline Launch shell(const Directory& state, const std::string& script) {
  return launch_of(state, {"/bin/sh", "-c", script});
}

// A child of the test, killed and reaped when it goes.
class Helper {
 public:
  explicit Helper(pid_t pid) : pid_(pid), pidfd_(open_process(pid)) {}
  ~Helper() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  }
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }
  int wait() {
    if (!readable(pidfd_.get())) throw std::runtime_error("the run does not end");
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t pid_;
  netns::UniqueFd pidfd_;
};

// `life` in a forked process; its result is the exit status.
inline pid_t fork_helper(const std::function<int()>& life) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  int status = kOurs;
  try {
    status = life();
  } catch (const CommandFailure& failure) {
    dprintf(STDERR_FILENO, "%s\n", failure.what());
    status = failure.exit_status();
  } catch (const std::exception& error) {
    dprintf(STDERR_FILENO, "%s\n", error.what());
  }
  ::_exit(status);
}

// Something that runs in the foreground with its streams in the test's hands.
class Foreground {
 public:
  explicit Foreground(const std::function<int()>& life)
      : in_(open_pipe()), out_(open_pipe()), err_(open_pipe()), helper_(fork_helper([&] {
          ::dup2(in_.read.get(), STDIN_FILENO);
          ::dup2(out_.write.get(), STDOUT_FILENO);
          ::dup2(err_.write.get(), STDERR_FILENO);
          close_all_but({});
          return life();
        })) {
    in_.read.reset();
    out_.write.reset();
    err_.write.reset();
  }
  explicit Foreground(const Launch& launch, const Hooks& hooks = {})
      : Foreground([&] { return supervise_foreground(launch, hooks); }) {}

  Helper& process() { return helper_; }
  void type(const std::string& text) {
    [[maybe_unused]] auto ignored = ::write(in_.write.get(), text.data(), text.size());
  }
  void end_input() { in_.write.reset(); }

  std::string line() { return line_from(out_.read.get()); }
  std::string error_line() { return line_from(err_.read.get()); }
  // Everything that is still to come until the other side closes.
  std::string rest() { return rest_from(out_.read.get()); }
  std::string errors() { return rest_from(err_.read.get()); }
  int wait() { return helper_.wait(); }

 private:
  static std::string line_from(int fd) {
    std::string text;
    char c = 0;
    while (readable(fd) && ::read(fd, &c, 1) == 1 && c != '\n') text += c;
    return text;
  }
  static std::string rest_from(int fd) {
    std::string text;
    char block[4096];
    while (readable(fd)) {
      const ssize_t got = ::read(fd, block, sizeof block);
      if (got <= 0) break;
      text.append(block, static_cast<std::size_t>(got));
    }
    return text;
  }

  Pipe in_;
  Pipe out_;
  Pipe err_;
  Helper helper_;
};

struct Result {
  int status;
  std::string out;
  std::string err;
};

inline Result run(const Launch& launch, const Hooks& hooks = {}) {
  Foreground run(launch, hooks);
  run.end_input();
  const std::string out = run.rest();
  const std::string err = run.errors();
  return {run.wait(), out, err};
}

// A root file system made of the host's programs.
class Root {
 public:
  Root() {
    namespace fs = std::filesystem;
    fs::create_directories(path() + "/usr");
    fs::create_directories(path() + "/etc");
    mb::test::must("mount --rbind /usr " + path() + "/usr");
    for (const std::string name : {"bin", "lib", "lib64", "sbin"}) {
      if (fs::is_symlink("/" + name)) fs::create_symlink("usr/" + name, path() + "/" + name);
    }
    write_text(path() + "/etc/passwd", "root:x:0:0::/rooty:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n");
    write_text(path() + "/etc/group", "root:x:0:\napp:x:1000:\nextra:x:1001:app\n");
  }
  ~Root() { ::umount2((path() + "/usr").c_str(), MNT_DETACH); }
  const std::string& path() const { return directory_.path(); }

 private:
  Directory directory_;
};

inline bool may_change_user() { return read_text("/proc/self/setgroups").starts_with("allow"); }

}  // namespace mb::container::test
