// SPDX-License-Identifier: GPL-2.0-or-later
#include "netns/namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <exception>
#include <future>
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

// Through a socket: a new thread's folder in /proc is made when it is looked at, which takes longer than all the rest of
// going there and back. Who has no right over the namespace is not let in this way.
UniqueFd open_own_quickly() {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  UniqueFd found(::ioctl(socket.get(), SIOCGSKNS));
  return found ? std::move(found) : open_own();
}

UniqueFd create_on_this_thread() {
  if (::unshare(CLONE_NEWNET) != 0) fail(errno, "cannot create a network namespace");
  return open_own_quickly();
}

std::thread helper_thread(std::function<void()> work) {
  const SignalsBlocked blocked;  // inherited by the thread
  return std::thread(std::move(work));
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

Namespace Namespace::create(const std::function<void()>& inside) {
  UniqueFd made;
  std::packaged_task<void()> task([&] {
    made = create_on_this_thread();
    inside();
  });
  auto result = task.get_future();
  detail::run_on_helper_thread([&] { task(); });
  result.get();
  return Namespace(std::move(made));
}

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

NamespaceToCome::NamespaceToCome(Worker& worker, std::function<void()> inside)
    : worker_(worker), inside_(std::move(inside)), making_(worker.begin([this] { make(); })) {}

// The thread has further work, which is not meant for the new namespace.
void NamespaceToCome::make() {
  UniqueFd home;
  const auto go_back = [&] {
    if (home && ::setns(home.get(), CLONE_NEWNET) != 0) worker_.leave();
  };
  try {
    home = open_own_quickly();
    made_.set_value(create_on_this_thread());
  } catch (...) {
    made_.set_exception(std::current_exception());
    go_back();  // it may be there already
    return;
  }
  try {
    inside_();
  } catch (...) {
    go_back();
    throw;
  }
  go_back();
}

Namespace NamespaceToCome::take() {
  making_.hurry();
  worker_.help();
  return Namespace(made_.get_future().get());
}

void NamespaceToCome::settle() { making_.finish(); }

namespace detail {

void run_on_helper_thread(const std::function<void()>& work) { helper_thread(work).join(); }

void move_thread_into(const Namespace& target) {
  if (::setns(target.fd(), CLONE_NEWNET) != 0) fail(errno, "cannot enter a network namespace");
}

}  // namespace detail
}  // namespace netns
