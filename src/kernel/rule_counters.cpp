// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/rule_counters.h"

#include <net/if.h>
#include <netinet/in.h>

#include <libiptc/libiptc.h>

#include <cerrno>
#include <memory>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/kernel/rule_counters_v6.h"

namespace mb::kernel {
namespace {

struct FreeHandle {
  void operator()(xtc_handle* handle) const { iptc_free(handle); }
};

std::map<std::string, ChainCounters> count_v4(const std::string& table) {
  const std::unique_ptr<xtc_handle, FreeHandle> handle(iptc_init(table.c_str()));
  if (!handle) throw system_failure(fmt::format("cannot read the iptables table '{}'", table), errno);
  std::map<std::string, ChainCounters> counters;
  for (const char* chain = iptc_first_chain(handle.get()); chain != nullptr; chain = iptc_next_chain(handle.get())) {
    ChainCounters& counts = counters[chain];
    xt_counters policy{};
    if (iptc_get_policy(chain, &policy, handle.get()) != nullptr) counts.policy = policy.pcnt;
    for (const auto* rule = iptc_first_rule(chain, handle.get()); rule != nullptr;
         rule = iptc_next_rule(rule, handle.get())) {
      counts.rules.push_back(rule->counters.pcnt);
    }
  }
  return counters;
}

}  // namespace

std::map<std::string, ChainCounters> count_packets(Family family, const std::string& table) {
  return family == Family::v4 ? count_v4(table) : count_packets_v6(table);
}

}  // namespace mb::kernel
