// SPDX-License-Identifier: GPL-2.0-or-later
//
// A private machine for tests and labs: whatever is done in it, the real one stays as it is.
#pragma once

namespace netns {

enum class Privilege {
  kUseWhatWeHave,    ///< a user namespace only where the process may not do without one
  kAlwaysSeparated,  ///< a user namespace even for root
};

/// Moves this process, which must have a single thread, into new network and mount namespaces,
/// with an empty tmpfs on /run. Without the privilege to do so it makes a user namespace first,
/// in which the present user and group are 0; so it works for every user of the machine.
///
/// No link is up afterwards, not even lo. There is no way back. When it throws, the process may
/// be part of the way in and should end.
void enter_own_world(Privilege privilege = Privilege::kUseWhatWeHave);

}  // namespace netns
