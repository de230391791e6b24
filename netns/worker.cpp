// SPDX-License-Identifier: GPL-2.0-or-later
#include "netns/worker.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <utility>

#include "netns/signals_blocked.h"

namespace netns {
namespace {

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

}  // namespace

// ---- tasks

Worker::Task::Task(Worker* worker, std::shared_ptr<Job> job) noexcept : worker_(worker), job_(std::move(job)) {}

Worker::Task::Task(Task&& other) noexcept
    : worker_(std::exchange(other.worker_, nullptr)), job_(std::move(other.job_)) {}

Worker::Task::~Task() {
  if (!job_) return;
  if (!worker_->withdraw(job_)) worker_->wait_for(*job_);
}

void Worker::Task::finish() {
  if (!job_) return;
  if (job_->bound) {
    hurry();
  } else {
    worker_->help();
  }
  const auto job = std::move(job_);
  worker_->wait_for(*job);
  if (job->failure) std::rethrow_exception(job->failure);
}

void Worker::Task::hurry() {
  if (!job_) return;
  {
    const std::lock_guard lock(worker_->mutex_);
    if (job_->state != State::waiting) return;
  }
  worker_->have_thread();  // the first one may have left before it came to this
  worker_->bring_here();
}

// ---- the thread

Worker::~Worker() {
  close();
  if (thread_.joinable()) thread_.join();
}

Worker::Task Worker::begin(std::function<void()> work) {
  have_thread();
  return add(std::move(work), true);
}

Worker::Task Worker::offer(std::function<void()> work) { return add(std::move(work), false); }

Worker::Task Worker::add(std::function<void()> work, bool bound) {
  auto job = std::make_shared<Job>();
  job->work = std::move(work);
  job->bound = bound;
  const std::lock_guard lock(mutex_);
  queue_.push_back(job);
  to_do_.notify_one();
  return {this, std::move(job)};
}

void Worker::have_thread() {
  if (thread_.joinable()) {
    {
      const std::lock_guard lock(mutex_);
      if (!ending_ && !leaving_) return;
    }
    thread_.join();
  }
  ending_ = leaving_ = false;
  running_ = true;
  {
    const SignalsBlocked blocked;  // inherited by the thread
    thread_ = std::thread([this] { run(); });
  }
  keep_off_this_processor(thread_);
}

// Takes it out of the queue; the lock is given back while it is done.
void Worker::carry_out(const Queue::iterator& which, std::unique_lock<std::mutex>& lock) noexcept {
  const auto job = *which;
  queue_.erase(which);
  job->state = State::begun;
  lock.unlock();
  try {
    job->work();
  } catch (...) {
    job->failure = std::current_exception();
  }
  lock.lock();
  job->state = State::done;
}

void Worker::run() noexcept {
  std::unique_lock lock(mutex_);
  while (!leaving_) {
    to_do_.wait(lock, [this] { return ending_ || !queue_.empty(); });
    if (queue_.empty()) break;
    at_work_ = true;
    carry_out(queue_.begin(), lock);
    at_work_ = false;
    done_.notify_all();
  }
  running_ = false;
  done_.notify_all();
}

void Worker::help() noexcept {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto free = std::find_if(queue_.begin(), queue_.end(), [](const auto& job) { return !job->bound; });
    if (free == queue_.end()) return;
    carry_out(free, lock);
  }
}

// Takes back what has not been begun.
bool Worker::withdraw(const std::shared_ptr<Job>& job) noexcept {
  const std::lock_guard lock(mutex_);
  if (job->state != State::waiting) return false;
  std::erase(queue_, job);
  return true;
}

void Worker::wait_for(const Job& job) noexcept {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&job] { return job.state == State::done; });
}

void Worker::bring_here() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (at_work_ || queue_.empty()) return;
  }
  cpu_set_t own;
  CPU_ZERO(&own);
  const int here = ::sched_getcpu();
  if (here < 0) return;
  CPU_SET(static_cast<unsigned>(here), &own);
  ::pthread_setaffinity_np(thread_.native_handle(), sizeof own, &own);
}

void Worker::wait() noexcept {
  if (!thread_.joinable()) return;
  bring_here();
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return !running_ || (!at_work_ && queue_.empty()); });
}

void Worker::close() noexcept {
  const std::lock_guard lock(mutex_);
  ending_ = true;
  to_do_.notify_one();
}

void Worker::leave() noexcept {
  const std::lock_guard lock(mutex_);
  leaving_ = true;
}

}  // namespace netns
