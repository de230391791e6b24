// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is started, as a value.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "src/model/objects.h"

namespace mb::container {

struct Launch {
  Id id;
  Name name;
  std::string state_dir;
  Attachment attachment = Attachment::networks;
  std::string hostname;  // empty: the host's
  ProcessSpec process;
  std::vector<Volume> from_state;    // as in View
  std::vector<PublishSpec> publish;  // where the built-in test server listens; only the container's side matters
  // For the supervisor of an earlier run to leave: its last steps are few, but the host may be busy.
  std::chrono::milliseconds patience = std::chrono::seconds(10);
};

}  // namespace mb::container
