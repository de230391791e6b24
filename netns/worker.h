// SPDX-License-Identifier: GPL-2.0-or-later
//
// A second thread, for work that its owner need not stand beside.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace netns {

/// Does one piece of work after the other on another processor while its owner goes on. The thread begins with the first
/// piece, has every signal blocked, and ends with its owner. Only its owner may use it.
class Worker {
  struct Job;

 public:
  Worker() = default;
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// A piece of work. One that goes before it was finished is not begun any more, or waited for.
  class Task {
   public:
    Task() = default;
    ~Task();
    Task(Task&& other) noexcept;
    Task& operator=(Task&& other) = delete;

    /// Until it is done; does it on this thread when the other one has not come to it and need not do it. Throws what it
    /// threw. From then on there is nothing left to finish.
    void finish();
    /// Sees to it that it is begun: where the other processors have no time for the thread, it is brought to this one.
    void hurry();

   private:
    friend class Worker;
    Task(Worker* worker, std::shared_ptr<Job> job) noexcept;

    Worker* worker_ = nullptr;
    std::shared_ptr<Job> job_;
  };

  /// For what must be done on the other thread. What `work` uses must live as long as the task.
  [[nodiscard]] Task begin(std::function<void()> work);
  /// For what may be done on either. No thread is started for it.
  [[nodiscard]] Task offer(std::function<void()> work);
  /// Whether a thread was begun.
  [[nodiscard]] bool has_thread() const noexcept { return thread_.joinable(); }

  /// Does, on this thread, what was offered and not begun; for whoever has to wait for something else.
  void help() noexcept;
  /// Until nothing is under way, as before a fork.
  void wait() noexcept;
  /// No more work is in sight: the thread ends when it has done what it has, so that nobody has to wait for that later.
  void close() noexcept;
  /// From within a piece of work: this thread is not fit for another one, which gets a new thread.
  void leave() noexcept;

 private:
  enum class State { waiting, begun, done };
  struct Job {
    std::function<void()> work;
    bool bound = false;  // to the other thread
    State state = State::waiting;
    std::exception_ptr failure;
  };
  using Queue = std::deque<std::shared_ptr<Job>>;

  void have_thread();
  void run() noexcept;
  void bring_here() noexcept;
  Task add(std::function<void()> work, bool bound);
  void carry_out(const Queue::iterator& which, std::unique_lock<std::mutex>& lock) noexcept;
  bool withdraw(const std::shared_ptr<Job>& job) noexcept;
  void wait_for(const Job& job) noexcept;

  std::mutex mutex_;
  std::condition_variable to_do_;
  std::condition_variable done_;
  Queue queue_;
  bool running_ = false;  // the thread
  bool at_work_ = false;
  bool ending_ = false;  // when there is nothing to do any more
  bool leaving_ = false;
  std::thread thread_;
};

}  // namespace netns
