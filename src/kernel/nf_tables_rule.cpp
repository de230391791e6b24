// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/nf_tables_rule.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/xt_rpfilter.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <set>

#include "src/kernel/iptables_codec.h"

namespace mb::kernel {
namespace {

using Bytes = std::vector<std::uint8_t>;

// What a register holds.
enum class Field : std::uint8_t {
  unknown,
  in_name,
  out_name,
  in_index,
  out_index,
  l4_protocol,
  nf_protocol,
  ether_type,
  source,  // an address
  destination,
  source_port,
  destination_port,
  ct_state,
  ct_status,
  way_back,     // the interface by which an answer would leave
  source_type,  // of an address
  destination_type,
};

struct Register {
  Field field = Field::unknown;
  Family family = Family::v4;  // of an address
  std::size_t length = 0;      // how many bytes of it were loaded
  std::optional<Bytes> mask;
};

std::uint32_t host_u32(const Bytes& bytes) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
  return value;
}

std::uint16_t big_u16(const Bytes& bytes) {
  return bytes.size() < 2 ? std::uint16_t{0} : static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
}

bool is_zero(const Bytes& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

// How many bits a mask of leading ones has; none for any other.
std::optional<int> prefix_of(const Bytes& mask) {
  int bits = 0;
  bool ended = false;
  for (const auto byte : mask) {
    const int ones = std::countl_one(byte);
    if ((ended && byte != 0) || static_cast<std::uint8_t>(byte << ones) != 0) return std::nullopt;
    bits += ones;
    ended = ended || ones < 8;
  }
  return bits;
}

IpAddress address_from(Bytes bytes, Family family) {
  bytes.resize(16);
  if (family == Family::v4) {
    return IpAddress::v4(static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
                         static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3]);
  }
  std::array<std::uint8_t, 16> all{};
  std::copy(bytes.begin(), bytes.end(), all.begin());
  return IpAddress::v6(all);
}

Bytes data_value(const Attributes& data) {
  const auto bytes = data.bytes(NFTA_DATA_VALUE);
  return {bytes.begin(), bytes.end()};
}

std::optional<Protocol> port_protocol(const Rule& rule) {
  if (!rule.protocol || rule.protocol->negated) return std::nullopt;
  for (const auto protocol : {Protocol::tcp, Protocol::udp, Protocol::sctp}) {
    if (rule.protocol->value == static_cast<std::uint8_t>(protocol)) return protocol;
  }
  return std::nullopt;
}

class Translator {
 public:
  Translator(std::uint64_t handle, const RuleSurroundings& around) : around_(around) {
    variants_.resize(1);
    variants_.front().handle = handle;
  }

  std::vector<HostRule> run(const Attributes& expressions) {
    expressions.each([&](int, const nlattr* element) {
      if (ended_) return;
      const Attributes expression(element);
      step(expression.text(NFTA_EXPR_NAME), expression.nested(NFTA_EXPR_DATA));
    });
    return std::move(variants_);
  }

 private:
  void step(const std::string& name, const Attributes& data) {
    static const std::set<std::string, std::less<>> kPassing = {"counter", "log", "notrack", "objref", "last", "dup"};
    if (kPassing.contains(name)) return;
    if (name == "meta") return load_meta(data);
    if (name == "payload") return load_payload(data);
    if (name == "ct") return load_ct(data);
    if (name == "fib") return load_fib(data);
    if (name == "bitwise") return mask(data);
    if (name == "cmp") return compare(data);
    if (name == "range") return compare_range(data);
    if (name == "lookup") return look_up(data);
    if (name == "immediate") return immediate(data);
    if (name == "match") {
      const auto info = data.bytes(NFTA_MATCH_INFO);
      const auto revision = static_cast<std::uint8_t>(big_u32(data, NFTA_MATCH_REV).value_or(0));
      return add_match(decode_match(around_.family, data.text(NFTA_MATCH_NAME), revision, info));
    }
    if (const auto target = target_called(name, data)) return end_with(*target);
    // Something else that loads a register or lets only some packets on (limit, exthdr, quota …).
    registers_.clear();
    not_understood(name);
  }

  static std::optional<Target> target_called(const std::string& name, const Attributes& data) {
    if (name == "reject") return target::Opaque{"REJECT", 0, {}};
    if (name == "masq") return target::Masquerade{};
    if (name == "redir") return target::Opaque{"REDIRECT", 0, {}};
    if (name == "tproxy") return target::Opaque{"TPROXY", 0, {}};
    if (name == "queue" || name == "synproxy") return target::Opaque{"NFQUEUE", 0, {}};
    if (name == "target") return target::Opaque{data.text(NFTA_TARGET_NAME), 0, {}};
    if (name != "nat") return std::nullopt;
    const bool destination = big_u32(data, NFTA_NAT_TYPE) == std::uint32_t{NFT_NAT_DNAT};
    return target::Opaque{destination ? "DNAT" : "SNAT", 0, {}};
  }

  // --- loading registers

  void load(const Attributes& data, int register_attribute, Register content) {
    registers_[big_u32(data, register_attribute).value_or(0)] = std::move(content);
  }

  void load_meta(const Attributes& data) {
    if (data.has(NFTA_META_SREG)) return;  // it is set, not asked
    Field field = Field::unknown;
    switch (big_u32(data, NFTA_META_KEY).value_or(~0U)) {
      case NFT_META_IIFNAME: field = Field::in_name; break;
      case NFT_META_OIFNAME: field = Field::out_name; break;
      case NFT_META_IIF: field = Field::in_index; break;
      case NFT_META_OIF: field = Field::out_index; break;
      case NFT_META_L4PROTO: field = Field::l4_protocol; break;
      case NFT_META_NFPROTO: field = Field::nf_protocol; break;
      case NFT_META_PROTOCOL: field = Field::ether_type; break;
      default: break;
    }
    load(data, NFTA_META_DREG, {field, Family::v4, 0, std::nullopt});
  }

  // Where the fields are in the headers of IPv4 (RFC 791), IPv6 (RFC 8200) and of the transports.
  void load_payload(const Attributes& data) {
    if (data.has(NFTA_PAYLOAD_SREG)) return;
    const auto base = big_u32(data, NFTA_PAYLOAD_BASE).value_or(~0U);
    const auto offset = big_u32(data, NFTA_PAYLOAD_OFFSET).value_or(~0U);
    const auto length = big_u32(data, NFTA_PAYLOAD_LEN).value_or(0);
    Register content;
    content.length = length;
    if (base == NFT_PAYLOAD_NETWORK_HEADER) {
      if (offset == 9 && length == 1) content.field = Field::l4_protocol;
      if (offset == 12 && length <= 4) content.field = Field::source;
      if (offset == 16 && length <= 4) content.field = Field::destination;
      if (offset == 8 && length > 4 && length <= 16) content = {Field::source, Family::v6, length, std::nullopt};
      if (offset == 24 && length <= 16) content = {Field::destination, Family::v6, length, std::nullopt};
    } else if (base == NFT_PAYLOAD_TRANSPORT_HEADER && length == 2) {
      if (offset == 0) content.field = Field::source_port;
      if (offset == 2) content.field = Field::destination_port;
    }
    load(data, NFTA_PAYLOAD_DREG, std::move(content));
  }

  void load_ct(const Attributes& data) {
    if (data.has(NFTA_CT_SREG)) return;
    Field field = Field::unknown;
    const auto key = big_u32(data, NFTA_CT_KEY).value_or(~0U);
    if (key == NFT_CT_STATE) field = Field::ct_state;
    if (key == NFT_CT_STATUS) field = Field::ct_status;
    load(data, NFTA_CT_DREG, {field, Family::v4, 4, std::nullopt});
  }

  void load_fib(const Attributes& data) {
    Field field = Field::unknown;
    const auto flags = big_u32(data, NFTA_FIB_FLAGS).value_or(0);
    if (big_u32(data, NFTA_FIB_RESULT) == std::uint32_t{NFT_FIB_RESULT_ADDRTYPE}) {
      if (flags == NFTA_FIB_F_DADDR) field = Field::destination_type;
      if (flags == NFTA_FIB_F_SADDR) field = Field::source_type;
    } else if ((flags & kWayBack) == kWayBack) {
      field = Field::way_back;
    }
    load(data, NFTA_FIB_DREG, {field, Family::v4, 4, std::nullopt});
  }

  void mask(const Attributes& data) {
    Register content = at(data, NFTA_BITWISE_SREG);
    const bool masks = big_u32(data, NFTA_BITWISE_OP).value_or(0) == 0;
    if (!masks || content.mask || !is_zero(data_value(data.nested(NFTA_BITWISE_XOR)))) content = {};
    content.mask = data_value(data.nested(NFTA_BITWISE_MASK));
    load(data, NFTA_BITWISE_DREG, std::move(content));
  }

  Register at(const Attributes& data, int register_attribute) const {
    const auto found = registers_.find(big_u32(data, register_attribute).value_or(0));
    return found == registers_.end() ? Register{} : found->second;
  }

  // --- conditions

  void not_understood(std::string_view what) { add_match(match::Opaque{std::string(what), 0, {}}); }

  void add_match(const Match& match) {
    for (auto& variant : variants_) variant.rule.matches.push_back(match);
  }

  void compare(const Attributes& data) {
    const auto content = at(data, NFTA_CMP_SREG);
    const auto operation = big_u32(data, NFTA_CMP_OP).value_or(~0U);
    const auto value = data_value(data.nested(NFTA_CMP_DATA));
    if (operation == NFT_CMP_EQ || operation == NFT_CMP_NEQ) {
      for (auto& variant : variants_) add_condition(variant, content, value, operation == NFT_CMP_NEQ);
    } else {
      for (auto& variant : variants_) add_bound(variant, content, value, operation);
    }
  }

  void compare_range(const Attributes& data) {
    const auto content = at(data, NFTA_RANGE_SREG);
    const bool negated = big_u32(data, NFTA_RANGE_OP) == std::uint32_t{NFT_RANGE_NEQ};
    const PortRange range{big_u16(data_value(data.nested(NFTA_RANGE_FROM_DATA))),
                          big_u16(data_value(data.nested(NFTA_RANGE_TO_DATA)))};
    for (auto& variant : variants_) {
      if (!add_ports(variant, content.field, {range, negated})) unclear(variant, "range");
    }
  }

  static void unclear(HostRule& variant, std::string_view what) {
    variant.rule.matches.push_back(match::Opaque{std::string(what), 0, {}});
  }

  // "more than" and "less than" come in pairs; each narrows the ports on its own.
  static void add_bound(HostRule& variant, const Register& content, const Bytes& value, std::uint32_t operation) {
    const auto bound = big_u16(value);
    PortRange range{0, 65535};
    if (operation == NFT_CMP_GTE) range.first = bound;
    if (operation == NFT_CMP_LTE) range.last = bound;
    const bool usable = operation == NFT_CMP_GTE || operation == NFT_CMP_LTE;
    if (!usable || !add_ports(variant, content.field, {range, false})) unclear(variant, "cmp");
  }

  static bool add_ports(HostRule& variant, Field field, Negatable<PortRange> ports) {
    const auto protocol = port_protocol(variant.rule);
    if (!protocol || (field != Field::source_port && field != Field::destination_port)) return false;
    match::Ports match{*protocol, std::nullopt, std::nullopt};
    (field == Field::source_port ? match.source : match.destination) = ports;
    variant.rule.matches.emplace_back(match);
    return true;
  }

  void add_condition(HostRule& variant, const Register& content, const Bytes& value, bool negated) const {
    if (!understood(variant, content, value, negated)) unclear(variant, "cmp");
  }

  bool understood(HostRule& variant, const Register& content, const Bytes& value, bool negated) const {
    Rule& rule = variant.rule;
    switch (content.field) {
      case Field::in_name: return set_once(rule.in, interface_name(value), negated);
      case Field::out_name: return set_once(rule.out, interface_name(value), negated);
      case Field::in_index: return set_once(rule.in, interface_at(value), negated);
      case Field::out_index: return set_once(rule.out, interface_at(value), negated);
      case Field::l4_protocol: return !value.empty() && set_once(rule.protocol, value.front(), negated);
      case Field::nf_protocol:
        return set_family(variant, value.empty() ? 0 : value.front(), NFPROTO_IPV4, NFPROTO_IPV6, negated);
      case Field::ether_type: return set_family(variant, big_u16(value), ETH_P_IP, ETH_P_IPV6, negated);
      case Field::source: return set_address(rule.source, content, value, negated);
      case Field::destination: return set_address(rule.destination, content, value, negated);
      case Field::source_port:
      case Field::destination_port:
        return !content.mask && add_ports(variant, content.field, {{big_u16(value), big_u16(value)}, negated});
      case Field::ct_state: return add_states(rule, content, value, negated, kStates);
      case Field::ct_status: return add_states(rule, content, value, negated, match::kSnat | match::kDnat);
      case Field::source_type:
      case Field::destination_type: return add_address_type(rule, content.field, value, negated);
      case Field::way_back:
        if (!is_zero(value)) return false;
        rule.matches.emplace_back(reverse_path(!negated));
        return true;
      case Field::unknown: break;
    }
    return false;
  }

  template <class T>
  static bool set_once(std::optional<Negatable<T>>& slot, const T& value, bool negated) {
    if (slot) return false;
    slot = Negatable<T>{value, negated};
    return true;
  }

  static bool set_family(HostRule& variant, std::uint32_t value, std::uint32_t v4, std::uint32_t v6, bool negated) {
    if (value != v4 && value != v6) return false;
    variant.only = (value == v4) != negated ? Family::v4 : Family::v6;
    return true;
  }

  // What `-m rpfilter` is in iptables. The interface of the way back is 0 where there is none, or another than they came by.
  static constexpr std::uint32_t kWayBack = NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF;
  static match::Opaque reverse_path(bool is_missing) {
    return {"rpfilter", 0, {static_cast<std::uint8_t>(is_missing ? XT_RPFILTER_INVERT : 0)}};
  }

  // A shorter value than a name can be is the beginning of one: "eth*".
  static std::string interface_name(const Bytes& value) {
    const std::string text(value.begin(), std::find(value.begin(), value.end(), 0));
    return text.size() == value.size() ? text + "+" : text;
  }

  std::string interface_at(const Bytes& value) const {
    const auto found = around_.interfaces->find(host_u32(value));
    return found == around_.interfaces->end() ? "(gone)" : found->second;
  }

  static bool set_address(std::optional<Negatable<Subnet>>& slot, const Register& content, const Bytes& value,
                          bool negated) {
    const auto prefix = content.mask ? prefix_of(*content.mask) : std::optional(static_cast<int>(content.length * 8));
    if (!prefix) return false;
    return set_once(slot, Subnet::containing(address_from(value, content.family), *prefix), negated);
  }

  // Bits of the kernel's and of ConnState are the same ones, for states and for the two translations of the status.
  static constexpr std::uint32_t kStates =
      match::kInvalid | match::kEstablished | match::kRelated | match::kNew | match::kUntracked;

  static bool add_states(Rule& rule, const Register& content, const Bytes& value, bool negated, std::uint32_t known) {
    const bool masked = content.mask.has_value();
    if (masked && !is_zero(value)) return false;
    const std::uint32_t bits = masked ? host_u32(*content.mask) : host_u32(value);
    if (bits == 0 || (bits & ~known) != 0) return false;
    // With a mask "not equal to zero" means one of the bits.
    rule.matches.emplace_back(match::ConnTrack{static_cast<std::uint16_t>(bits), masked ? !negated : negated});
    return true;
  }

  static bool add_address_type(Rule& rule, Field field, const Bytes& value, bool negated) {
    const auto type = static_cast<match::AddressType>(1U << std::min(host_u32(value), 15U));
    match::AddrType match;
    (field == Field::source_type ? match.source : match.destination) = {type, negated};
    rule.matches.emplace_back(match);
    return true;
  }

  // --- sets and verdicts

  void look_up(const Attributes& data) {
    constexpr std::size_t kMost = 64;
    const auto content = at(data, NFTA_LOOKUP_SREG);
    const bool is_verdict_map = big_u32(data, NFTA_LOOKUP_DREG) == std::uint32_t{NFT_REG_VERDICT};
    const bool negated = (big_u32(data, NFTA_LOOKUP_FLAGS).value_or(0) & NFT_LOOKUP_F_INV) != 0;
    const auto elements = around_.elements(data.text(NFTA_LOOKUP_SET));
    if (data.has(NFTA_LOOKUP_DREG) && !is_verdict_map) registers_.erase(big_u32(data, NFTA_LOOKUP_DREG).value_or(0));
    const bool usable = elements && content.field != Field::unknown && elements->size() <= kMost;
    if (!usable || (negated && elements->size() != 1)) {
      not_understood("lookup");
      // Where the verdict would come from is not known either.
      if (is_verdict_map) end_with(target::Opaque{"NFQUEUE", 0, {}});
      return;
    }
    std::vector<HostRule> multiplied;
    for (const auto& variant : variants_) {
      for (const auto& element : *elements) {
        auto one = variant;
        add_condition(one, content, element.key, negated);
        if (is_verdict_map) one.rule.target = element.verdict.value_or(target::None{});
        multiplied.push_back(std::move(one));
      }
    }
    variants_ = std::move(multiplied);
    ended_ = ended_ || is_verdict_map;
  }

  void immediate(const Attributes& data) {
    const auto target_register = big_u32(data, NFTA_IMMEDIATE_DREG).value_or(0);
    if (target_register != NFT_REG_VERDICT) {
      registers_.erase(target_register);
      return;
    }
    if (const auto verdict = verdict_of(data.nested(NFTA_IMMEDIATE_DATA))) end_with(*verdict);
  }

  void end_with(const Target& target) {
    for (auto& variant : variants_) variant.rule.target = target;
    const auto* opaque = std::get_if<target::Opaque>(&target);
    // A target of iptables such as LOG or MARK lets the packet on to what follows in the rule: nothing.
    ended_ = opaque == nullptr || !opaque->name.empty();
  }

  const RuleSurroundings& around_;
  std::map<std::uint32_t, Register> registers_;
  std::vector<HostRule> variants_;
  bool ended_ = false;
};

}  // namespace

std::vector<HostRule> translate_rule(const Attributes& expressions, std::uint64_t handle,
                                     const RuleSurroundings& around) {
  return Translator(handle, around).run(expressions);
}

std::optional<Target> verdict_of(const Attributes& data) {
  const auto verdict = data.nested(NFTA_DATA_VERDICT);
  const auto code = big_u32(verdict, NFTA_VERDICT_CODE);
  if (!code) return std::nullopt;
  const auto chain = verdict.text(NFTA_VERDICT_CHAIN);
  switch (static_cast<std::int32_t>(*code)) {
    case NF_DROP: return target::Drop{};
    case NF_ACCEPT: return target::Accept{};
    case NFT_RETURN: return target::Return{};
    case NFT_JUMP: return target::Jump{chain};
    case NFT_GOTO: return target::Goto{chain};
    default: return std::nullopt;
  }
}

std::optional<std::uint32_t> big_u32(const Attributes& attributes, int attribute) {
  const auto value = attributes.u32(attribute);
  if (!value) return std::nullopt;
  return ntohl(*value);
}

std::optional<std::uint64_t> big_u64(const Attributes& attributes, int attribute) {
  const auto bytes = attributes.bytes(attribute);
  std::uint64_t value = 0;
  if (bytes.size() < sizeof value) return std::nullopt;
  std::memcpy(&value, bytes.data(), sizeof value);
  return be64toh(value);
}

}  // namespace mb::kernel
