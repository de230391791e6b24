// SPDX-License-Identifier: GPL-2.0-or-later
//
// Networks and containers as text for the database, and back. Fields that a document lacks keep their defaults.
#pragma once

#include <string>

#include "src/model/kernel_state.h"
#include "src/model/objects.h"

namespace mb::store {

std::string to_document(const Network& network);
std::string to_document(const Container& container);
std::string to_document(const SysctlState& sysctl);

// Throw Error(failed) for a document that cannot be understood.
Network network_from(const std::string& document);
Container container_from(const std::string& document);
SysctlState sysctl_from(const std::string& document);

}  // namespace mb::store
