// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/worker.h"

#include <pthread.h>
#include <sched.h>

#include <utility>

#include "netns/signals_blocked.h"

namespace mb {
namespace {

// The processors on which this thread may run, without the one where it is running.
cpu_set_t other_processors() {
  cpu_set_t others;
  CPU_ZERO(&others);
  const int here = ::sched_getcpu();
  if (here < 0 || ::sched_getaffinity(0, sizeof others, &others) != 0) return others;
  CPU_CLR(static_cast<unsigned>(here), &others);
  return others;
}

}  // namespace

Worker::Worker() {
  const cpu_set_t others = other_processors();
  if (CPU_COUNT(&others) == 0) return;
  {
    const netns::SignalsBlocked blocked;  // inherited by the thread
    thread_ = std::thread([this] { run(); });
  }
  // The scheduler leaves a new thread where its parent runs; mostly it then begins only when the parent waits for it,
  // and nothing is gained (80 of 100, on an idle machine with two processors). A refusal costs only speed.
  ::pthread_setaffinity_np(thread_.native_handle(), sizeof others, &others);
}

Worker::~Worker() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Worker::put(std::function<void()> work) {
  if (!thread_.joinable()) {
    work();
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
  }
  changed_.notify_one();
}

void Worker::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ends_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const auto work = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

}  // namespace mb
