// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/rule_counters_v6.h"

#include <net/if.h>
#include <netinet/in.h>

extern "C" {  // the header does not say it
#include <libiptc/libip6tc.h>
}

#include <cerrno>
#include <memory>

#include <fmt/format.h>

#include "src/base/error.h"

namespace mb::kernel {
namespace {

struct FreeHandle {
  void operator()(xtc_handle* handle) const { ip6tc_free(handle); }
};

}  // namespace

std::map<std::string, ChainCounters> count_packets_v6(const std::string& table) {
  const std::unique_ptr<xtc_handle, FreeHandle> handle(ip6tc_init(table.c_str()));
  if (!handle) throw system_failure(fmt::format("cannot read the ip6tables table '{}'", table), errno);
  std::map<std::string, ChainCounters> counters;
  for (const char* chain = ip6tc_first_chain(handle.get()); chain != nullptr; chain = ip6tc_next_chain(handle.get())) {
    ChainCounters& counts = counters[chain];
    xt_counters policy{};
    if (ip6tc_get_policy(chain, &policy, handle.get()) != nullptr) counts.policy = policy.pcnt;
    for (const auto* rule = ip6tc_first_rule(chain, handle.get()); rule != nullptr;
         rule = ip6tc_next_rule(rule, handle.get())) {
      counts.rules.push_back(rule->counters.pcnt);
    }
  }
  return counters;
}

}  // namespace mb::kernel
