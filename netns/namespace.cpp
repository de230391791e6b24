// SPDX-License-Identifier: GPL-2.0-or-later
#include "netns/namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <exception>
#include <thread>
#include <utility>

#include "netns/failure.h"
#include "netns/signals_blocked.h"

// The C library's headers may be older than the kernel.
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace netns {
namespace {

// The file system is asked first: an ioctl number means something else to every device.
bool is_network_namespace(int fd) {
  struct statfs where {};
  if (::fstatfs(fd, &where) != 0 || where.f_type != NSFS_MAGIC) return false;
  return ::ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

// O_NONBLOCK so that the path of a named pipe cannot hang us.
UniqueFd open_namespace_file(const std::string& path, const std::string& what) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) fail(errno, "cannot open " + what);
  return fd;
}

UniqueFd open_own() { return open_namespace_file("/proc/thread-self/ns/net", "the network namespace of this thread"); }

UniqueFd create_on_this_thread() {
  if (::unshare(CLONE_NEWNET) != 0) fail(errno, "cannot create a network namespace");
  return open_own();
}

std::thread helper_thread(std::function<void()> work) {
  const SignalsBlocked blocked;  // inherited by the thread
  return std::thread(std::move(work));
}

// The scheduler leaves a new thread where its parent runs; mostly it then begins only when the parent waits for it, and
// nothing is gained (80 of 100, on an idle machine with two processors). A refusal costs only speed.
void keep_off_this_processor(std::thread& thread) {
  cpu_set_t others;
  CPU_ZERO(&others);
  const int here = ::sched_getcpu();
  if (here < 0 || ::sched_getaffinity(0, sizeof others, &others) != 0) return;
  CPU_CLR(static_cast<unsigned>(here), &others);
  if (CPU_COUNT(&others) > 0) ::pthread_setaffinity_np(thread.native_handle(), sizeof others, &others);
}

// For a thread that the others had no time for.
void bring_to_this_processor(std::thread& thread) {
  cpu_set_t own;
  CPU_ZERO(&own);
  const int here = ::sched_getcpu();
  if (here < 0) return;
  CPU_SET(static_cast<unsigned>(here), &own);
  ::pthread_setaffinity_np(thread.native_handle(), sizeof own, &own);
}

struct stat identity_of(int fd) {
  struct stat identity {};
  if (::fstat(fd, &identity) != 0) fail(errno, "cannot identify a network namespace");
  return identity;
}

}  // namespace

Namespace Namespace::current() { return Namespace(open_own()); }

Namespace Namespace::open(const std::string& path) {
  UniqueFd fd = open_namespace_file(path, "network namespace '" + path + "'");
  if (!is_network_namespace(fd.get())) fail(EINVAL, "'" + path + "' is not a network namespace");
  return Namespace(std::move(fd));
}

Namespace Namespace::of_process(pid_t pid) {
  const std::string number = std::to_string(pid);
  return Namespace(open_namespace_file("/proc/" + number + "/ns/net", "the network namespace of process " + number));
}

Namespace Namespace::create() {
  return create([] {});
}

Namespace Namespace::create(const std::function<void()>& inside) { return NamespaceToCome(inside).take(); }

bool Namespace::same_as(const Namespace& other) const {
  const struct stat mine = identity_of(fd());
  const struct stat theirs = identity_of(other.fd());
  return mine.st_dev == theirs.st_dev && mine.st_ino == theirs.st_ino;
}

std::uint64_t Namespace::cookie() const { return run_in(*this, current_cookie); }

std::uint64_t Namespace::current_cookie() {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) fail(errno, "cannot open a socket to ask for the namespace's cookie");
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) {
    fail(errno, "cannot read the network namespace's cookie");
  }
  return cookie;
}

NamespaceToCome::NamespaceToCome(std::function<void()> inside)
    : inside_(std::move(inside)), thread_(helper_thread([this] { make(); })) {
  keep_off_this_processor(thread_);
}

NamespaceToCome::~NamespaceToCome() { wait(); }

void NamespaceToCome::wait() noexcept {
  if (!thread_.joinable()) return;
  if (!begun_) bring_to_this_processor(thread_);
  thread_.join();
}

void NamespaceToCome::make() noexcept {
  begun_ = true;
  try {
    made_ = create_on_this_thread();
    inside_();
  } catch (...) {
    failure_ = std::current_exception();
  }
}

Namespace NamespaceToCome::take() {
  wait();
  if (failure_) std::rethrow_exception(failure_);
  return Namespace(std::move(made_));
}

namespace detail {

void run_on_helper_thread(const std::function<void()>& work) { helper_thread(work).join(); }

void move_thread_into(const Namespace& target) {
  if (::setns(target.fd(), CLONE_NEWNET) != 0) fail(errno, "cannot enter a network namespace");
}

}  // namespace detail
}  // namespace netns
