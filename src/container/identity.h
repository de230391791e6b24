// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who the command runs as: `--user name|uid[:group|gid]`, looked up in the container's own /etc/passwd and /etc/group.
//
// The files are read directly. The C library's name service would load the host's modules (LDAP and the like), which
// know nothing of the container.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace mb::container {

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
  std::string home = "/";
  bool changes = false;  // false: stay what we are
};

// An empty text is the present user. A number needs no entry; a name does. Throws Error(usage).
Identity find_identity(const std::string& user);

// Becomes that user for good. Throws Error with a sentence of its own where a user namespace has no such id.
void assume(const Identity& identity);

// What can be said about the text without looking into the container. Throws Error(usage).
void check_user(const std::string& user);

}  // namespace mb::container
