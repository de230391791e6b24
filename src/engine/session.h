// SPDX-License-Identifier: GPL-2.0-or-later
//
// One passage through the pipe: the lock, the state and the kernel, opened together.
#pragma once

#include <memory>
#include <optional>

#include "netns/worker.h"
#include "src/engine/engine.h"
#include "src/kernel/kernel.h"
#include "src/store/lock.h"
#include "src/store/store.h"

namespace mb::engine {

struct Session {
  std::optional<store::StateLock> lock;   // none when only looking
  std::unique_ptr<netns::Worker> worker;  // outlives those below, who use it
  std::shared_ptr<store::Store> store;
  std::unique_ptr<store::Store::View> view;  // of the state, until the first change to it
  std::unique_ptr<kernel::Kernel> kernel;
};

// To look and to change. `kept`: the state as an earlier session left it open, if it did. Where new namespaces will be
// needed, the first is begun before anything else.
Session open_session(const Setup& setup, std::shared_ptr<store::Store>& kept, std::size_t new_namespaces = 0);
// To look. Creates no file.
Session open_session(const Setup& setup);

// The state alone, for verbs that only look.
std::unique_ptr<store::Store> open_state(const Setup& setup);

}  // namespace mb::engine
