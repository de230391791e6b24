// SPDX-License-Identifier: GPL-2.0-or-later
//
// A second pair of hands: one thread that does what it is given, one thing after the other, while its owner goes on.
//
// It begins in the network namespace of whoever made it, and no signal handler of the program runs on it. Where the
// process may use one processor only, there is no thread, and work is done when it is given.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>

namespace mb {

// Work that was given away. Whoever lets go of it waits until it is done: it may use what is about to end.
template <class T>
class Pending {
 public:
  explicit Pending(std::future<T> future) : future_(std::move(future)) {}
  ~Pending() { wait(); }
  Pending(Pending&&) noexcept = default;
  Pending& operator=(Pending&&) = delete;

  void wait() const {
    if (future_.valid()) future_.wait();
  }
  bool is_there() const { return future_.valid(); }
  // Waits; throws what the work threw. Only once.
  T get() { return future_.get(); }

 private:
  std::future<T> future_;
};

class Worker {
 public:
  Worker();
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  template <class F>
  Pending<std::invoke_result_t<F>> give(F work) {
    auto task = std::make_shared<std::packaged_task<std::invoke_result_t<F>()>>(std::move(work));
    Pending<std::invoke_result_t<F>> pending(task->get_future());
    put([task] { (*task)(); });
    return pending;
  }

 private:
  void put(std::function<void()> work);
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace mb
