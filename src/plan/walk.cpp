// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/walk.h"

#include <linux/netfilter/xt_rpfilter.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "src/base/overloaded.h"
#include "src/model/chains.h"

namespace mb::plan {
namespace {

// For how many of the packets a condition holds.
enum class Share : std::uint8_t { all, unknown, some, none };

// Of two conditions that must both hold.
Share both(Share a, Share b) { return std::max(a, b); }

Share negated_if(bool negated, Share share) {
  if (!negated) return share;
  if (share == Share::all) return Share::none;
  return share == Share::none ? Share::all : share;
}

Share of_truth(bool holds) { return holds ? Share::all : Share::none; }

Share of_subnet(const std::optional<Negatable<Subnet>>& wanted, const std::optional<Subnet>& packets) {
  if (!wanted) return Share::all;
  const auto& subnet = wanted->value;
  Share share = Share::some;
  if (subnet.prefix() == 0) {
    share = Share::all;
  } else if (packets && packets->family() != subnet.family()) {
    return Share::none;
  } else if (packets) {
    share = subnet.contains(*packets) ? Share::all : subnet.overlaps(*packets) ? Share::some : Share::none;
  }
  return negated_if(wanted->negated, share);
}

Share of_interface(const std::optional<Negatable<std::string>>& wanted, const std::string& name) {
  if (!wanted) return Share::all;
  if (name.empty()) return Share::unknown;
  const auto& text = wanted->value;
  const bool matches =
      text.ends_with('+') ? name.starts_with(std::string_view(text).substr(0, text.size() - 1)) : name == text;
  return negated_if(wanted->negated, of_truth(matches));
}

Share of_protocol(const std::optional<Negatable<std::uint8_t>>& wanted, const std::optional<Protocol>& protocol) {
  if (!wanted) return Share::all;
  if (!protocol) return Share::some;
  return negated_if(wanted->negated, of_truth(wanted->value == static_cast<std::uint8_t>(*protocol)));
}

Share of_ports(const std::optional<Negatable<PortRange>>& wanted, const std::optional<PortRange>& ports) {
  if (!wanted) return Share::all;
  if (!ports) return Share::some;
  const auto& range = wanted->value;
  const bool holds_all = range.first <= ports->first && ports->last <= range.last;
  return negated_if(wanted->negated, holds_all ? Share::all : range.overlaps(*ports) ? Share::some : Share::none);
}

Share of_address_type(const std::optional<Negatable<match::AddressType>>& wanted,
                      const std::optional<match::AddressType>& type) {
  if (!wanted) return Share::all;
  return type ? negated_if(wanted->negated, of_truth(wanted->value == *type)) : Share::unknown;
}

Share of_group(const std::optional<Negatable<std::uint32_t>>& wanted, const std::string& interface,
               std::uint32_t group) {
  if (!wanted) return Share::all;
  if (interface.empty()) return Share::unknown;
  return negated_if(wanted->negated, of_truth(wanted->value == group));
}

// "rpfilter" holds for packets whose answer would go the way they came, which those of containers and of ports that answer
// do; inverted (firewalld has such a rule on every host) for the others.
Share of_opaque(const match::Opaque& match) {
  if (match.name != "rpfilter" || match.data.empty()) return Share::unknown;
  return of_truth((match.data.front() & XT_RPFILTER_INVERT) == 0);
}

Share of_match(const Match& match, const Probe& probe) {
  return std::visit(
      Overloaded{
          [&](const match::Ports& m) {
            if (!probe.protocol) return Share::some;
            if (*probe.protocol != m.protocol) return Share::none;
            return both(of_ports(m.source, std::nullopt), of_ports(m.destination, probe.destination_ports));
          },
          [&](const match::AddrType& m) {
            return both(of_address_type(m.source, probe.source_type),
                        of_address_type(m.destination, probe.destination_type));
          },
          [&](const match::DevGroup& m) {
            return both(of_group(m.source, probe.in, probe.in_group),
                        of_group(m.destination, probe.out, probe.out_group));
          },
          [&](const match::ConnTrack& m) { return negated_if(m.negated, of_truth((m.states & probe.states) != 0)); },
          [&](const match::IcmpType&) { return probe.protocol ? Share::none : Share::some; },
          [](const match::Comment&) { return Share::all; },
          [](const match::Opaque& m) { return of_opaque(m); },
      },
      match);
}

Share of_rule(const HostRule& entry, const Probe& probe) {
  if (entry.only && *entry.only != probe.family) return Share::none;
  const Rule& rule = entry.rule;
  Share share = both(of_subnet(rule.source, probe.source), of_subnet(rule.destination, probe.destination));
  share = both(share, both(of_interface(rule.in, probe.in), of_interface(rule.out, probe.out)));
  share = both(share, of_protocol(rule.protocol, probe.protocol));
  for (const auto& match : rule.matches) share = both(share, of_match(match, probe));
  return share;
}

// What a target does, as far as it matters here.
enum class Effect : std::uint8_t { passes, accepts, drops, diverts, returns, jumps, unknown };

Effect of_opaque_target(const std::string& name) {
  constexpr std::array<std::string_view, 2> kDrops = {"REJECT", "TARPIT"};
  constexpr std::array<std::string_view, 5> kDiverts = {"DNAT", "REDIRECT", "NETMAP", "TPROXY", "DNPT"};
  constexpr std::array<std::string_view, 2> kSource = {"MASQUERADE", "SNAT"};
  constexpr std::array<std::string_view, 2> kElsewhere = {"NFQUEUE", "QUEUE"};
  const auto is_in = [&name](const auto& names) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (is_in(kDrops)) return Effect::drops;
  if (is_in(kDiverts)) return Effect::diverts;
  if (is_in(kSource)) return Effect::accepts;
  return is_in(kElsewhere) ? Effect::unknown : Effect::passes;  // LOG, MARK, TCPMSS, CT …
}

Effect effect_of(const Target& target) {
  return std::visit(Overloaded{
                        [](const target::None&) { return Effect::passes; },
                        [](const target::Accept&) { return Effect::accepts; },
                        [](const target::Drop&) { return Effect::drops; },
                        [](const target::Return&) { return Effect::returns; },
                        [](const target::Jump&) { return Effect::jumps; },
                        [](const target::Goto&) { return Effect::jumps; },
                        [](const target::Dnat&) { return Effect::diverts; },
                        [](const target::Snat&) { return Effect::accepts; },
                        [](const target::Masquerade&) { return Effect::accepts; },
                        [](const target::Opaque& t) { return of_opaque_target(t.name); },
                    },
                    target);
}

const std::string* chain_of(const Target& target) {
  if (const auto* jump = std::get_if<target::Jump>(&target)) return &jump->chain;
  if (const auto* jump = std::get_if<target::Goto>(&target)) return &jump->chain;
  return nullptr;
}

bool is_ours(std::string_view chain) { return chain.starts_with(kChainPrefix) && chain != kUserChain; }

class Walk {
 public:
  Walk(const HostTable& table, const Probe& probe) : table_(table), probe_(probe) {}

  Fate run() {
    for (const auto* base : bases()) {
      base_ = base;
      perhaps_gone_ = false;
      const auto end = follow(*base, Share::all, 0);
      if (end == End::fell_off && base->drops) note(*base, nullptr, Share::all, false);
      if (end == End::stopped || (end == End::fell_off && base->drops)) break;
    }
    return std::move(fate_);
  }

 private:
  enum class End : std::uint8_t { fell_off, accepted, stopped };
  static constexpr int kDeepest = 64;  // the kernel refuses loops; a table that is read while it changes may have one

  std::vector<const HostChain*> bases() const {
    std::vector<const HostChain*> found;
    for (const auto& chain : table_.chains) {
      if (chain.hook == probe_.hook) found.push_back(&chain);
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const HostChain* a, const HostChain* b) { return a->priority < b->priority; });
    return found;
  }

  // `share`: how many of the packets come to this chain.
  End follow(const HostChain& chain, Share share, int depth) {
    if (depth > kDeepest) return End::fell_off;
    for (const auto& entry : chain.rules) {
      const Share meets = both(share, of_rule(entry, probe_));
      if (meets == Share::none) continue;
      const bool ends_here = meets == share;  // for all that came
      const auto effect = effect_here(entry.rule.target);
      if (effect == Effect::jumps) {
        const auto end = jump(chain, entry, meets, depth);
        if (ends_here && (end != End::fell_off || is_goto(entry))) return end;
        continue;
      }
      if (effect == Effect::accepts) accept(chain, entry, meets);
      if (effect == Effect::drops || effect == Effect::diverts || effect == Effect::unknown) stop(chain, entry, meets);
      if (!ends_here || effect == Effect::passes || effect == Effect::unknown) continue;
      return effect == Effect::returns ? End::fell_off : effect == Effect::accepts ? End::accepted : End::stopped;
    }
    return End::fell_off;
  }

  static bool is_goto(const HostRule& entry) { return std::holds_alternative<target::Goto>(entry.rule.target); }

  // In the nat table the first rule that decides keeps all others from translating, and with it ours.
  Effect effect_here(const Target& target) const {
    const auto effect = effect_of(target);
    const bool is_nat = table_.name == "nat" && table_.backend == Backend::legacy;
    return is_nat && effect == Effect::accepts ? Effect::diverts : effect;
  }

  End jump(const HostChain& chain, const HostRule& entry, Share meets, int depth) {
    const std::string& name = *chain_of(entry.rule.target);
    if (table_.backend == Backend::legacy && is_ours(name)) return End::accepted;
    const auto* next = table_.chain(name);
    return next == nullptr || next == &chain ? End::fell_off : follow(*next, meets, depth + 1);
  }

  Place place(const HostChain& chain, const HostRule* rule) const { return {&table_, base_->name, chain.name, rule}; }

  void accept(const HostChain& chain, const HostRule& entry, Share meets) {
    if (meets == Share::unknown) perhaps_gone_ = true;
    if (meets == Share::all && !fate_.accepted) fate_.accepted = place(chain, &entry);
  }

  void stop(const HostChain& chain, const HostRule& entry, Share meets) {
    if (meets == Share::some) return;
    const auto effect = effect_here(entry.rule.target);
    note(chain, &entry, effect == Effect::unknown ? Share::unknown : meets, effect == Effect::diverts);
  }

  void note(const HostChain& chain, const HostRule* rule, Share meets, bool diverted) {
    const bool certain = meets == Share::all && !perhaps_gone_;
    fate_.stops.push_back({place(chain, rule), certain ? Certainty::certain : Certainty::possible, diverted});
  }

  const HostTable& table_;
  const Probe& probe_;
  const HostChain* base_ = nullptr;
  bool perhaps_gone_ = false;  // a rule that is not understood may have accepted them already
  Fate fate_;
};

}  // namespace

Fate fate_in(const HostTable& table, const Probe& probe) { return Walk(table, probe).run(); }

}  // namespace mb::plan
