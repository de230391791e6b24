// SPDX-License-Identifier: GPL-2.0-or-later
//
// How a start is known to have worked: the child holds the writing end of a close-on-exec pipe.
// When exec succeeds the pipe closes without a word; when anything fails before, the child writes
// which step and which errno, and the parent throws.
#include "netns/command.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgot to say that these are C functions
}

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <string_view>
#include <utility>

#include "netns/failure.h"
#include "netns/signals_blocked.h"

namespace netns {
namespace {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail(errno, "cannot create a pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::string_view name_of(std::string_view assignment) { return assignment.substr(0, assignment.find('=')); }

// The present environment without the names that are given anew, then those.
std::vector<std::string> merged_environment(const std::vector<std::string>& additions) {
  std::vector<std::string> merged;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
    const bool replaced =
        std::any_of(additions.begin(), additions.end(), [&](const auto& a) { return name_of(a) == name_of(*entry); });
    if (!replaced) merged.emplace_back(*entry);
  }
  merged.insert(merged.end(), additions.begin(), additions.end());
  return merged;
}

// A null-terminated array of C strings, as execve wants it.
std::vector<char*> pointers_into(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& s : strings) pointers.push_back(s.data());
  pointers.push_back(nullptr);
  return pointers;
}

enum class Step : int { kSetUp, kEnter, kExecute };

struct StartFailure {
  Step step;
  int error;
};

// Everything the child needs, made before the fork: it must not allocate memory.
struct Prepared {
  std::vector<char*> argv;
  std::vector<char*> environment;
  int null = -1;
  Streams streams;
  const int* further = nullptr;  // namespaces
  std::size_t further_count = 0;
  int namespace_fd = -1;  // -1: stay
  bool own_session = false;
  int report = -1;
};

// exec keeps what is ignored and blocked; a shell in the background ignores SIGINT, for one. The
// handlers of this program go first: none of them may run in the child once signals are open.
void start_with_default_signals() noexcept {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);  // SIGKILL says no
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

StartFailure become(const Prepared& p) noexcept {
  start_with_default_signals();
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return {Step::kSetUp, errno};
  if (p.own_session) ::setsid();  // cannot fail: a fork leads no group
  if (::dup2(p.streams.in >= 0 ? p.streams.in : p.null, STDIN_FILENO) < 0) return {Step::kSetUp, errno};
  if (p.streams.out >= 0 && ::dup2(p.streams.out, STDOUT_FILENO) < 0) return {Step::kSetUp, errno};
  if (p.streams.err >= 0 && ::dup2(p.streams.err, STDERR_FILENO) < 0) return {Step::kSetUp, errno};
  for (std::size_t i = 0; i < p.further_count; ++i) {
    if (::setns(p.further[i], 0) != 0) return {Step::kEnter, errno};
  }
  if (p.namespace_fd >= 0 && ::setns(p.namespace_fd, CLONE_NEWNET) != 0) {
    return {Step::kEnter, errno};
  }
  ::execvpe(p.argv[0], p.argv.data(), p.environment.data());
  return {Step::kExecute, errno};
}

[[noreturn]] void run_child(const Prepared& prepared) noexcept {
  const StartFailure failure = become(prepared);
  // Fewer bytes than PIPE_BUF: written whole or, when the parent is gone, to nobody.
  [[maybe_unused]] const ssize_t written = ::write(prepared.report, &failure, sizeof failure);
  ::_exit(127);
}

std::string describe(Step step, const std::string& program) {
  switch (step) {
    case Step::kSetUp: return "cannot prepare the process for '" + program + "'";
    case Step::kEnter: return "cannot enter the namespace for '" + program + "'";
    case Step::kExecute: break;
  }
  return "cannot execute '" + program + "'";
}

std::optional<StartFailure> read_start_failure(int report) {
  StartFailure failure{};
  ssize_t got = 0;
  do {
    got = ::read(report, &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof failure) return std::nullopt;
  return failure;
}

// poll that takes a signal handler's interruption for what it is: nothing. `patience` counts
// anew after each, which only makes a deadline more generous. -1 waits for ever.
void poll_again(pollfd* entries, nfds_t count, int patience_ms) {
  while (::poll(entries, count, patience_ms) < 0) {
    if (errno != EINTR) fail(errno, "cannot wait for a process");
  }
}

// A moment, or never.
class Deadline {
 public:
  Deadline() = default;
  explicit Deadline(std::chrono::milliseconds patience) : at_(Clock::now() + patience) {}
  // Milliseconds, as poll takes them.
  [[nodiscard]] int left() const {
    if (!at_) return -1;
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(*at_ - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(rest, 0, INT_MAX));
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> at_;
};

// Takes what there is. Returns false at the end of the stream.
bool read_available(int fd, std::string& text) {
  char buffer[16384];
  while (true) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got == 0) return false;
    if (got > 0) {
      text.append(buffer, static_cast<std::size_t>(got));
    } else if (errno != EINTR) {
      return errno == EAGAIN;
    }
  }
}

// Until the command ends. What it wrote last is in the pipes by then, so one more look after its end misses nothing.
// Returns false when `deadline` passes first.
bool collect(int out, int err, int pidfd, const Deadline& deadline, Finished& finished) {
  pollfd entries[] = {{out, POLLIN, 0}, {err, POLLIN, 0}, {pidfd, POLLIN, 0}};
  while (entries[2].revents == 0) {
    const int patience = deadline.left();
    if (patience == 0) return false;
    poll_again(entries, 3, patience);
    if (entries[0].fd >= 0 && !read_available(out, finished.out)) entries[0].fd = -1;
    if (entries[1].fd >= 0 && !read_available(err, finished.err)) entries[1].fd = -1;
  }
  return true;
}

// Our end only: the command's own must behave as in any other pipe.
void make_nonblocking(const UniqueFd& fd) {
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) fail(errno, "cannot set up a pipe");
}

template <typename Start>
Finished captured(Start start, const Deadline& deadline = {}) {
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  make_nonblocking(out.read);
  make_nonblocking(err.read);
  Child child = start(Streams{out.write.get(), err.write.get()});
  out.write.reset();
  err.write.reset();
  Finished finished;
  finished.timed_out = !collect(out.read.get(), err.read.get(), child.pidfd(), deadline, finished);
  if (finished.timed_out) child.kill_session(SIGKILL);
  finished.status = child.wait();
  return finished;
}

}  // namespace

void Child::start(const Command& command, int namespace_fd, Streams streams) {
  if (command.argv.empty()) fail(EINVAL, "cannot execute a command without words");
  std::vector<std::string> words = command.argv;
  std::vector<std::string> variables = merged_environment(command.environment);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) fail(errno, "cannot open '/dev/null'");
  Pipe report = make_pipe();
  const Prepared prepared{pointers_into(words),      pointers_into(variables),  null.get(),   streams,
                          command.also_enter.data(), command.also_enter.size(), namespace_fd, command.own_session,
                          report.write.get()};

  {
    const SignalsBlocked blocked;
    pid_ = ::fork();
    if (pid_ == 0) run_child(prepared);
  }
  if (pid_ < 0) fail(errno, "cannot fork to execute '" + words[0] + "'");

  // The number cannot have passed to another process: nobody but us reaps this one.
  pidfd_.reset(::pidfd_open(pid_, 0));
  if (!pidfd_) fail(errno, "cannot watch '" + words[0] + "'");
  report.write.reset();
  if (const auto failure = read_start_failure(report.read.get())) {
    fail(failure->error, describe(failure->step, words[0]));
  }
}

// After a delegated constructor the object counts as constructed: its destructor reaps the process
// when start() throws.
Child::Child(const Command& command, Streams streams) : Child() { start(command, -1, streams); }

Child::Child(const Command& command, const Namespace& target, Streams streams) : Child() {
  start(command, target.fd(), streams);
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      status_(std::exchange(other.status_, std::nullopt)) {}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    status_ = std::exchange(other.status_, std::nullopt);
  }
  return *this;
}

Child::~Child() { end(); }

void Child::end() noexcept {
  if (pid_ < 0 || status_) return;
  ::kill(pid_, SIGKILL);  // not reaped yet, so the number is still its own
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

int Child::wait() {
  while (!status_) {
    int raw = 0;
    if (::waitpid(pid_, &raw, 0) == pid_) {
      status_ = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
    } else if (errno != EINTR) {
      fail(errno, "cannot wait for process " + std::to_string(pid_));
    }
  }
  return *status_;
}

std::optional<int> Child::wait_for(std::chrono::milliseconds patience) {
  if (status_) return status_;
  pollfd entry{pidfd_.get(), POLLIN, 0};
  poll_again(&entry, 1, static_cast<int>(patience.count()));
  if (entry.revents == 0) return std::nullopt;
  return wait();
}

void Child::kill(int signal) {
  if (status_) return;
  if (::kill(pid_, signal) != 0) fail(errno, "cannot signal process " + std::to_string(pid_));
}

void Child::kill_session(int signal) {
  if (status_) return;
  // Not reaped, so neither number can have passed to others. It leads no group when it has no session of its own.
  if (::kill(-pid_, signal) != 0) kill(signal);
}

Finished run(const Command& command) {
  return captured([&](Streams streams) { return Child(command, streams); });
}

Finished run(const Command& command, const Namespace& target) {
  return captured([&](Streams streams) { return Child(command, target, streams); });
}

Finished run_for(const Command& command, const Namespace& target, std::chrono::milliseconds patience) {
  return captured([&](Streams streams) { return Child(command, target, streams); }, Deadline(patience));
}

}  // namespace netns
