// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pins: names in the file system that keep a network namespace alive without a process in it.
//
// A pin is an empty file with the namespace bind-mounted on it, as `ip netns add` does it.
//
// Pins live in a directory that is a mount point of its own. The reason: a mount namespace made
// later inherits copies of all mounts and with them a reference to every pinned namespace, so an
// `unpin` outside would free nothing. Whoever makes such a mount namespace drops all copies by one
// umount2(directory, MNT_DETACH). Private propagation keeps that from reaching us.
#pragma once

#include <string>
#include <vector>

#include "netns/namespace.h"

namespace netns {

/// Creates `path`, which must not exist, and mounts the namespace on it. On failure no file stays.
void pin(const Namespace& target, const std::string& path);

/// Takes a pin away. Also finishes half a job: a file without its mount, as is left behind by a
/// pin that was interrupted. Returns whether there was anything to take away.
bool unpin(const std::string& path);

/// The same for many pins of one directory, in the time of one: each umount waits until no processor
/// looks at the old tree any more, a fifth of a millisecond and longer. Also finishes a call that was
/// interrupted, which may have left namespaces alive whose pins look as if only their files were left.
void unpin(const std::string& directory, const std::vector<std::string>& names);

/// Whether a namespace is mounted at `path` (false also when there is no such path).
bool is_pinned(const std::string& path);

/// Makes `directory` (and its parents) and turns it into a private mount point. Repeatable.
void prepare_pin_directory(const std::string& directory);

/// The way back: drops every pin inside at once, removes the empty files they were mounted on and
/// the directory itself, not its parents. Refuses (ENOTEMPTY) when it holds anything else.
/// Returns whether there was such a directory.
bool remove_pin_directory(const std::string& directory);

}  // namespace netns
