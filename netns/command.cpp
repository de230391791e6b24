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
#include <csignal>
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
  Output output;
  int namespace_fd = -1;  // -1: stay
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
  if (::dup2(p.null, STDIN_FILENO) < 0) return {Step::kSetUp, errno};
  if (p.output.out >= 0 && ::dup2(p.output.out, STDOUT_FILENO) < 0) return {Step::kSetUp, errno};
  if (p.output.err >= 0 && ::dup2(p.output.err, STDERR_FILENO) < 0) return {Step::kSetUp, errno};
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
    case Step::kEnter: return "cannot enter the network namespace for '" + program + "'";
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

// Until both streams end or the command does. What it wrote last is in the pipes by then, so one
// more look after its end misses nothing.
void collect(int out, int err, int pidfd, Finished& finished) {
  pollfd entries[] = {{out, POLLIN, 0}, {err, POLLIN, 0}, {pidfd, POLLIN, 0}};
  while (entries[2].revents == 0 && (entries[0].fd >= 0 || entries[1].fd >= 0)) {
    poll_again(entries, 3, -1);
    if (entries[0].fd >= 0 && !read_available(out, finished.out)) entries[0].fd = -1;
    if (entries[1].fd >= 0 && !read_available(err, finished.err)) entries[1].fd = -1;
  }
}

// Our end only: the command's own must behave as in any other pipe.
void make_nonblocking(const UniqueFd& fd) {
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) fail(errno, "cannot set up a pipe");
}

template <typename Start>
Finished captured(Start start) {
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  make_nonblocking(out.read);
  make_nonblocking(err.read);
  Child child = start(Output{out.write.get(), err.write.get()});
  out.write.reset();
  err.write.reset();
  Finished finished;
  collect(out.read.get(), err.read.get(), child.pidfd(), finished);
  finished.status = child.wait();
  return finished;
}

}  // namespace

void Child::start(const Command& command, int namespace_fd, Output output) {
  if (command.argv.empty()) fail(EINVAL, "cannot execute a command without words");
  std::vector<std::string> words = command.argv;
  std::vector<std::string> variables = merged_environment(command.environment);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) fail(errno, "cannot open '/dev/null'");
  Pipe report = make_pipe();
  const Prepared prepared{pointers_into(words), pointers_into(variables), null.get(), output,
                          namespace_fd,         report.write.get()};

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
Child::Child(const Command& command, Output output) : Child() { start(command, -1, output); }

Child::Child(const Command& command, const Namespace& target, Output output) : Child() {
  start(command, target.fd(), output);
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

Finished run(const Command& command) {
  return captured([&](Output output) { return Child(command, output); });
}

Finished run(const Command& command, const Namespace& target) {
  return captured([&](Output output) { return Child(command, target, output); });
}

}  // namespace netns
