// SPDX-License-Identifier: GPL-2.0-or-later
//
// The files below the state directory: STATE/containers/ID/{hosts,resolv.conf,hostname}, and what the name server of a
// network sees, STATE/names/NETWORK/{dnsmasq.conf,hosts/ID}.
//
// A container's file is written in place, because it may be bind-mounted into a running container: a new inode would not
// be seen there. A name server's file is renamed into its place: dnsmasq, which watches the directory, would read half a
// file, and keeps what a file said before when that is written over. Its directories come and go with the files in them.
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
  void remove(const std::string& path);
  void make_directory(const Id& container);
  // With everything in it; symlinks are removed, not followed.
  void remove_directory(const Id& container);

  bool has_directory(const Id& container) const;
  std::set<Id> directories() const;
  // The files of a container that we know, by path below the state directory.
  std::map<std::string, std::string> read_all(const Id& container) const;
  // One of any kind; nothing if it is not there.
  std::optional<std::string> read(const std::string& path) const;
  // All files of name servers, by path.
  std::set<std::string> name_files() const;
  // Networks that have a directory for a name server.
  std::set<Id> name_directories() const;

 private:
  void write_in_place(const std::string& path, std::string_view content) const;
  void rename_into_place(const std::string& path, std::string_view content) const;
  std::string directory(const Id& container) const { return state_dir_ + "/containers/" + container; }

  std::string state_dir_;
};

}  // namespace mb::kernel
