// SPDX-License-Identifier: GPL-2.0-or-later
//
// The labs of this user that are up, by name: one file each in a directory that only the user may enter.
//
// The file is locked by the lab's first process as long as that lives (an OFD lock, which goes with the process), so an
// entry cannot be taken for alive when it is not. What has no lock is removed by whoever comes by. Entries that were made in
// another pid namespace are left alone: their numbers mean other processes here.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "netns/unique_fd.h"
#include "src/lab/topology.h"
#include "src/model/names.h"

namespace mb::lab {

// A lab that is up.
struct Lab {
  Name name;
  Topology topology;
  pid_t pid = 0;           // of its first process
  std::int64_t since = 0;  // seconds since 1970
};

// A name that is taken for a lab about to be made. Free again when this object goes, unless it was published.
class Reservation {
 public:
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&&) = delete;
  ~Reservation();

  const Name& name() const { return name_; }
  // Kept open by the lab's first process: as long as it is open there, the lab is up.
  int lock() const { return lock_.get(); }

 private:
  friend class Registry;
  Reservation(Name name, std::string path, netns::UniqueFd lock);
  Name name_;
  std::string path_;  // empty: published
  netns::UniqueFd lock_;
};

class Registry {
 public:
  // minibridge-lab in $XDG_RUNTIME_DIR or /run/user/UID, else /tmp/minibridge-UID; made, mode 0700, if it is not there.
  // Throws Error(privilege) when it belongs to somebody else.
  static Registry open();

  // Throws Error(conflict) when a lab of this name is up.
  Reservation reserve(const Name& name) const;
  // `wanted`, or the first of wanted-2, wanted-3 … that is free.
  Reservation reserve_any(const Name& wanted) const;
  void publish(Reservation reservation, const Topology& topology, pid_t pid) const;

  std::vector<Lab> all() const;
  // Empty `name`: the only one that is up. Throws Error(not_found), or Error(usage) when there are several.
  Lab find(const std::string& name) const;
  // Ends it with everything in it, and waits for that.
  void take_down(const Lab& lab) const;
  // Its first process, for as long as the descriptor is open. Throws Error(not_found) when it has ended.
  netns::UniqueFd open_process(const Lab& lab) const;

 private:
  explicit Registry(std::string directory) : directory_(std::move(directory)) {}
  std::string path_of(const Name& name) const;
  std::optional<Reservation> try_reserve(const Name& name) const;
  std::optional<Lab> read(const Name& name) const;

  std::string directory_;
};

}  // namespace mb::lab
