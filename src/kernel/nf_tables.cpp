// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/nf_tables.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "src/kernel/links.h"
#include "src/kernel/netlink.h"
#include "src/kernel/nf_tables_rule.h"

namespace mb::kernel {
namespace {

Message question(int type, std::uint8_t family = NFPROTO_UNSPEC) {
  nfgenmsg header{};
  header.nfgen_family = family;
  header.version = NFNETLINK_V0;
  return {NFNL_SUBSYS_NFTABLES << 8 | type, 0, header};
}

struct TableName {
  std::uint8_t family = 0;
  std::string name;
  auto operator<=>(const TableName&) const = default;
};

TableName table_of(const nlmsghdr& reply, const Attributes& attributes, int attribute) {
  return {header_of<nfgenmsg>(reply).nfgen_family, attributes.text(attribute)};
}

std::string family_word(std::uint8_t family) {
  if (family == NFPROTO_IPV4) return "ip";
  return family == NFPROTO_IPV6 ? "ip6" : "inet";
}

bool sees_packets(std::uint8_t family) {
  return family == NFPROTO_IPV4 || family == NFPROTO_IPV6 || family == NFPROTO_INET;
}

std::optional<Hook> hook_of(std::uint32_t number) {
  switch (number) {
    case NF_INET_PRE_ROUTING: return Hook::prerouting;
    case NF_INET_LOCAL_IN: return Hook::input;
    case NF_INET_FORWARD: return Hook::forward;
    case NF_INET_LOCAL_OUT: return Hook::output;
    case NF_INET_POST_ROUTING: return Hook::postrouting;
    default: return std::nullopt;  // ingress
  }
}

using Bytes = std::vector<std::uint8_t>;

class Reader {
 public:
  Reader() : socket_(NETLINK_NETFILTER) {}

  bool finds_hooks() {
    read_chains();
    std::erase_if(tables_, [](const auto& entry) { return !is_hooked(entry.second); });
    return !tables_.empty();
  }

  std::vector<HostTable> read() {
    if (!finds_hooks()) return {};
    read_interfaces();
    read_rules();
    std::vector<HostTable> tables;
    tables.reserve(tables_.size());
    for (auto& [name, table] : tables_) tables.push_back(std::move(table));
    return tables;
  }

 private:
  struct Chain {
    TableName table;
    HostChain chain;
  };
  struct RawRule {
    TableName table;
    std::string chain;
    Bytes message;
  };
  using Elements = std::optional<std::vector<SetElement>>;

  static bool is_hooked(const HostTable& table) {
    return std::any_of(table.chains.begin(), table.chains.end(), [](const HostChain& c) { return c.hook.has_value(); });
  }

  static std::optional<Chain> parse_chain(const nlmsghdr& reply) {
    const Attributes attributes(reply, sizeof(nfgenmsg));
    Chain found{table_of(reply, attributes, NFTA_CHAIN_TABLE), {}};
    if (!sees_packets(found.table.family)) return std::nullopt;
    found.chain.name = attributes.text(NFTA_CHAIN_NAME);
    if (!attributes.has(NFTA_CHAIN_HOOK)) return found;
    const auto hook = attributes.nested(NFTA_CHAIN_HOOK);
    found.chain.hook = hook_of(big_u32(hook, NFTA_HOOK_HOOKNUM).value_or(~0U));
    found.chain.priority = static_cast<int>(big_u32(hook, NFTA_HOOK_PRIORITY).value_or(0));
    found.chain.drops = big_u32(attributes, NFTA_CHAIN_POLICY) == std::uint32_t{NF_DROP};
    return found;
  }

  void read_chains() {
    const auto chains =
        socket_.collect<Chain>(question(NFT_MSG_GETCHAIN), "cannot list the chains of nf_tables", parse_chain);
    for (const auto& [name, chain] : chains) {
      auto& table = tables_[name];
      table.backend = Backend::nf_tables;
      table.family = family_word(name.family);
      table.name = name.name;
      table.chains.push_back(chain);
    }
  }

  void read_interfaces() {
    Socket route(NETLINK_ROUTE);
    for (const auto& link : all_links(route)) interfaces_[static_cast<std::uint32_t>(link.index)] = link.name;
  }

  void read_rules() {
    const auto rules = socket_.collect<RawRule>(
        question(NFT_MSG_GETRULE), "cannot list the rules of nf_tables", [](const nlmsghdr& reply) {
          const Attributes attributes(reply, sizeof(nfgenmsg));
          const auto* start = reinterpret_cast<const std::uint8_t*>(&reply);
          return std::optional(RawRule{table_of(reply, attributes, NFTA_RULE_TABLE), attributes.text(NFTA_RULE_CHAIN),
                                       Bytes(start, start + reply.nlmsg_len)});
        });
    for (const auto& rule : rules) add_rule(rule);
  }

  void add_rule(const RawRule& raw) {
    const auto table = tables_.find(raw.table);
    if (table == tables_.end()) return;
    auto& chains = table->second.chains;
    const auto chain = std::find_if(chains.begin(), chains.end(),
                                    [&](const HostChain& candidate) { return candidate.name == raw.chain; });
    if (chain == chains.end()) return;
    const Attributes attributes(*reinterpret_cast<const nlmsghdr*>(raw.message.data()), sizeof(nfgenmsg));
    const Family family = raw.table.family == NFPROTO_IPV6 ? Family::v6 : Family::v4;
    const RuleSurroundings around{[&](const std::string& set) { return elements_of(raw.table, set); }, family,
                                  &interfaces_};
    auto rules = translate_rule(attributes.nested(NFTA_RULE_EXPRESSIONS),
                                big_u64(attributes, NFTA_RULE_HANDLE).value_or(0), around);
    for (auto& rule : rules) {
      rule.rule.family = family;
      chain->rules.push_back(std::move(rule));
    }
  }

  // --- sets

  const Elements& elements_of(const TableName& table, const std::string& set) {
    const auto [found, is_new] = elements_.try_emplace({table, set});
    if (is_new) found->second = read_elements(table, set);
    return found->second;
  }

  Elements read_elements(const TableName& table, const std::string& set) {
    Message message = question(NFT_MSG_GETSETELEM, table.family);
    message.put(NFTA_SET_ELEM_LIST_TABLE, table.name);
    message.put(NFTA_SET_ELEM_LIST_SET, set);
    bool plain = true;
    const auto lists = socket_.collect<std::vector<SetElement>>(
        message, fmt::format("cannot list the elements of the set '{}'", set), [&](const nlmsghdr& reply) {
          const Attributes attributes(reply, sizeof(nfgenmsg));
          std::vector<SetElement> elements;
          attributes.nested(NFTA_SET_ELEM_LIST_ELEMENTS).each([&](int, const nlattr* element) {
            const Attributes content(element);
            // Ranges, the element for all others, concatenated keys: not one value each.
            plain = plain && !content.has(NFTA_SET_ELEM_FLAGS) && !content.has(NFTA_SET_ELEM_KEY_END);
            elements.push_back(parse_element(content));
          });
          return std::optional(std::move(elements));
        });
    if (!plain) return std::nullopt;
    std::vector<SetElement> all;
    for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
    return all;
  }

  static SetElement parse_element(const Attributes& content) {
    const auto key = content.nested(NFTA_SET_ELEM_KEY).bytes(NFTA_DATA_VALUE);
    return {{key.begin(), key.end()}, verdict_of(content.nested(NFTA_SET_ELEM_DATA))};
  }

  Socket socket_;
  std::map<TableName, HostTable> tables_;
  std::map<std::uint32_t, std::string> interfaces_;
  std::map<std::pair<TableName, std::string>, Elements> elements_;
};

// A kernel without nf_tables has no drop in them.
template <class Question>
auto where_there_are_any(Question question) -> decltype(question()) {
  try {
    return question();
  } catch (const Error& e) {
    if (e.error_number() == EOPNOTSUPP || e.error_number() == EINVAL || e.error_number() == EPROTONOSUPPORT) return {};
    throw;
  }
}

}  // namespace

bool has_nf_tables() {
  return where_there_are_any([] { return Reader().finds_hooks(); });
}

std::vector<HostTable> read_nf_tables() {
  return where_there_are_any([] { return Reader().read(); });
}

}  // namespace mb::kernel
