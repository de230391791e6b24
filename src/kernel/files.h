// SPDX-License-Identifier: GPL-2.0-or-later
//
// The directories and files of containers below the state directory: STATE/containers/ID/{hosts,resolv.conf,hostname}.
//
// A file is written in place, because it may be bind-mounted into a running container: a new inode would not be seen there.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "src/model/kernel_state.h"

namespace mb::kernel {

class Files {
 public:
  explicit Files(std::string state_dir) : state_dir_(std::move(state_dir)) {}

  // `path` is below the state directory: "containers/ID/hosts". Throws Error if it leads out of it.
  void write(const std::string& path, std::string_view content);
  void make_directory(const Id& container);
  // With everything in it; symlinks are removed, not followed.
  void remove_directory(const Id& container);

  bool has_directory(const Id& container) const;
  std::set<Id> directories() const;
  // The files of a container that we know, by path below the state directory.
  std::map<std::string, std::string> read(const Id& container) const;

 private:
  std::string directory(const Id& container) const { return state_dir_ + "/containers/" + container; }

  std::string state_dir_;
};

}  // namespace mb::kernel
