// SPDX-License-Identifier: GPL-2.0-or-later
//
// Receives what rules with the NFLOG target report. A line in the kernel's own log is only written for the first network namespace of
// the machine (net.netfilter.nf_log_all_netns); NFLOG works in each.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mb::trace {

struct LoggedPacket {
  std::string prefix;
  std::string bytes;  // from the IP header on, the first 256 of them
};

// Listens to one group in the namespace of the thread that makes it. Throws Error; conflict when somebody else listens already.
class LogListener {
 public:
  explicit LogListener(std::uint16_t group);
  ~LogListener();
  LogListener(LogListener&&) noexcept;

  // What has come since the last call. Does not wait: the kernel puts a packet's report here before the packet goes on.
  std::vector<LoggedPacket> take();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mb::trace
