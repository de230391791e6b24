// SPDX-License-Identifier: GPL-2.0-or-later
//
// The handle of a network namespace, and running a function inside one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <future>
#include <string>
#include <type_traits>
#include <utility>

#include "netns/unique_fd.h"
#include "netns/worker.h"

namespace netns {

/// An open network namespace. It lives at least as long as this handle.
class Namespace {
 public:
  /// The namespace of the calling thread (threads of one process may differ).
  static Namespace current();

  /// From a pin, from /run/netns/NAME or from /proc/PID/ns/net. Refuses everything that is not
  /// a network namespace, such as the empty file that stays behind when a pin was unmounted.
  static Namespace open(const std::string& path);

  static Namespace of_process(pid_t pid);

  /// A new one, empty but for a loopback device that is down. The caller stays where it is.
  /// Needs CAP_SYS_ADMIN in the caller's user namespace.
  static Namespace create();
  /// The same; `inside` runs in it before this returns, in the thread that made it. One thread instead
  /// of two for whoever wants a socket there as well. What `inside` throws is thrown here.
  static Namespace create(const std::function<void()>& inside);

  /// current().cookie(), but without the privilege and the thread that entering a namespace takes.
  static std::uint64_t current_cookie();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  /// Two handles, one namespace? Holds only while both are open: the kernel reuses the inode
  /// numbers of namespaces that are gone. To remember one for longer, use the cookie.
  [[nodiscard]] bool same_as(const Namespace& other) const;

  /// A number the kernel gives to no other network namespace until the machine starts anew
  /// (SO_NETNS_COOKIE, Linux 5.14).
  [[nodiscard]] std::uint64_t cookie() const;

 private:
  friend class NamespaceToCome;
  explicit Namespace(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

/// A namespace that is made by the worker while the caller goes on: the kernel takes more than half a millisecond for
/// one. One that is not taken is gone without a trace.
class NamespaceToCome {
 public:
  /// `inside` runs in the new namespace, in the worker's thread. The worker must outlive this.
  NamespaceToCome(Worker& worker, std::function<void()> inside);
  NamespaceToCome(const NamespaceToCome&) = delete;
  NamespaceToCome& operator=(const NamespaceToCome&) = delete;

  /// Waits for it; throws what making it threw. Only once.
  Namespace take();
  /// Waits until `inside` has run as well; throws what it threw. Only once.
  void settle();

 private:
  void make();

  Worker& worker_;
  std::function<void()> inside_;
  std::promise<UniqueFd> made_;
  Worker::Task making_;
};

namespace detail {
/// Runs `work` in a new thread with every signal blocked and waits for its end.
void run_on_helper_thread(const std::function<void()>& work);
/// Moves the calling thread.
void move_thread_into(const Namespace& target);
}  // namespace detail

/// Runs `function` inside `target` and returns its result; what it throws is thrown here.
///
/// Never fork inside: PR_SET_PDEATHSIG follows the *thread* that forked, so a child that asked to
/// die with its parent would die when this helper thread ends. Commands have netns::run().
/// /proc/self shows the process's first thread, not this one: inside, say /proc/thread-self.
template <typename Function>
std::invoke_result_t<Function&> run_in(const Namespace& target, Function function) {
  std::packaged_task<std::invoke_result_t<Function&>()> task([&]() -> std::invoke_result_t<Function&> {
    detail::move_thread_into(target);
    return std::invoke(function);
  });
  auto result = task.get_future();
  detail::run_on_helper_thread([&] { task(); });
  return result.get();
}

}  // namespace netns
