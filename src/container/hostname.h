// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

namespace mb::container {

// Of the present uts namespace, which must be the container's own. An empty name leaves it.
void set_hostname(const std::string& hostname);

}  // namespace mb::container
