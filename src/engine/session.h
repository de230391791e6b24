// SPDX-License-Identifier: GPL-2.0-or-later
//
// One passage through the pipe: the lock, the state and the kernel, opened together.
#pragma once

#include <memory>
#include <optional>

#include "src/engine/engine.h"
#include "src/kernel/kernel.h"
#include "src/store/lock.h"
#include "src/store/store.h"

namespace mb::engine {

struct Session {
  std::optional<store::StateLock> lock;  // none when only looking
  std::shared_ptr<store::Store> store;
  std::unique_ptr<store::Store::View> view;  // of the state, until the first change to it
  std::unique_ptr<kernel::Kernel> kernel;
};

// To look and to change. `kept`: the state as an earlier session left it open, if it did. Where a new namespace will be
// needed it is begun before anything else.
Session open_session(const Setup& setup, std::shared_ptr<store::Store>& kept, bool needs_namespace = false);
// To look. Creates no file.
Session open_session(const Setup& setup);

// The state alone, for verbs that only look.
std::unique_ptr<store::Store> open_state(const Setup& setup);

}  // namespace mb::engine
