// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/foreign_rules.h"

#include <map>
#include <ostream>
#include <set>
#include <utility>
#include <vector>

#include "tests/support/snapshot.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

// A table as iptables-restore reads it: built-in chains that accept, but for those that drop, chains of its own, rules.
std::string table(const std::string& name, const std::vector<std::string>& chains, const std::string& rules,
                  const std::set<std::string>& drop = {}) {
  static const std::map<std::string, std::vector<std::string>> kBuiltIn{
      {"raw", {"PREROUTING", "OUTPUT"}},
      {"mangle", {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}},
      {"nat", {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"}},
      {"filter", {"INPUT", "FORWARD", "OUTPUT"}}};
  std::string text = "*" + name + "\n";
  for (const auto& chain : kBuiltIn.at(name))
    text += ":" + chain + (drop.contains(chain) ? " DROP" : " ACCEPT") + " [0:0]\n";
  for (const auto& chain : chains) text += ":" + chain + " - [0:0]\n";
  return text + rules.substr(1) + "COMMIT\n";  // they begin on a line of their own
}

// The same rules in the words of IPv6.
std::string in_ipv6(std::string rules, const std::vector<std::pair<std::string, std::string>>& words) {
  for (const auto& [v4, v6] : words) {
    for (std::size_t at = 0; (at = rules.find(v4, at)) != std::string::npos; at += v6.size()) {
      rules.replace(at, v4.size(), v6);
    }
  }
  return rules;
}

}  // namespace

std::ostream& operator<<(std::ostream& stream, const ForeignRules& rules) { return stream << rules.name; }

ForeignRules docker_rules() {
  const auto v4 = table("nat", {"DOCKER"}, R"(
[12:720] -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
[3:180] -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
[40:2400] -A POSTROUTING -s 10.200.0.0/16 ! -o docker0 -j MASQUERADE
[0:0] -A POSTROUTING -s 10.200.0.2/32 -d 10.200.0.2/32 -p tcp -m tcp --dport 5000 -j MASQUERADE
[1:84] -A DOCKER -i docker0 -j RETURN
[9:540] -A DOCKER ! -i docker0 -p tcp -m tcp --dport 5000 -j DNAT --to-destination 10.200.0.2:5000
)") + table("filter", {"DOCKER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2", "DOCKER-USER"},
            R"(
[77:4620] -A FORWARD -j DOCKER-USER
[77:4620] -A FORWARD -j DOCKER-ISOLATION-STAGE-1
[50:3000] -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[9:540] -A FORWARD -o docker0 -j DOCKER
[18:1080] -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
[0:0] -A FORWARD -i docker0 -o docker0 -j ACCEPT
[9:540] -A DOCKER -d 10.200.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 5000 -j ACCEPT
[18:1080] -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
[77:4620] -A DOCKER-ISOLATION-STAGE-1 -j RETURN
[0:0] -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
[18:1080] -A DOCKER-ISOLATION-STAGE-2 -j RETURN
[77:4620] -A DOCKER-USER -j RETURN
)",
            {"FORWARD"});
  return {"docker", v4,
          in_ipv6(v4, {{"10.200.0.0/16", "fd00:200::/64"},
                       {"10.200.0.2/32", "fd00:200::2/128"},
                       {"10.200.0.2:", "[fd00:200::2]:"},
                       {"127.0.0.0/8", "::1/128"}})};
}

ForeignRules ufw_rules() {
  return {"ufw",
          table("filter",
                {"ufw-before-forward", "ufw-user-forward", "ufw-after-forward", "ufw-reject-forward",
                 "ufw-before-input", "ufw-not-local", "ufw-user-input", "ufw-after-input", "ufw-skip-to-policy-input",
                 "ufw-before-output", "ufw-logging-deny"},
                R"(
[6:360] -A INPUT -j ufw-before-input
[2:120] -A INPUT -j ufw-after-input
[5:300] -A FORWARD -j ufw-before-forward
[5:300] -A FORWARD -j ufw-after-forward
[5:300] -A FORWARD -j ufw-reject-forward
[8:480] -A OUTPUT -j ufw-before-output
[0:0] -A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT
[5:300] -A ufw-before-forward -j ufw-user-forward
[1:60] -A ufw-before-input -i lo -j ACCEPT
[3:180] -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A ufw-before-input -m conntrack --ctstate INVALID -j ufw-logging-deny
[0:0] -A ufw-before-input -m conntrack --ctstate INVALID -j DROP
[2:120] -A ufw-before-input -j ufw-not-local
[2:120] -A ufw-before-input -j ufw-user-input
[2:120] -A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
[0:0] -A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny
[0:0] -A ufw-not-local -j DROP
[1:60] -A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
[0:0] -A ufw-after-input -p udp -m udp --dport 137 -j ufw-skip-to-policy-input
[0:0] -A ufw-skip-to-policy-input -j DROP
[0:0] -A ufw-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
[8:480] -A ufw-before-output -o lo -j ACCEPT
)",
                {"INPUT", "FORWARD"}),
          // Not a translation: neighbours are looked for and routers advertised with ICMPv6.
          table("filter",
                {"ufw6-before-forward", "ufw6-user-forward", "ufw6-before-input", "ufw6-user-input", "ufw6-after-input",
                 "ufw6-skip-to-policy-input", "ufw6-before-output", "ufw6-logging-deny"},
                R"(
[6:432] -A INPUT -j ufw6-before-input
[2:144] -A INPUT -j ufw6-after-input
[5:360] -A FORWARD -j ufw6-before-forward
[8:576] -A OUTPUT -j ufw6-before-output
[0:0] -A ufw6-before-forward -m rt --rt-type 0 -j DROP
[0:0] -A ufw6-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A ufw6-before-forward -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT
[5:360] -A ufw6-before-forward -j ufw6-user-forward
[1:72] -A ufw6-before-input -i lo -j ACCEPT
[0:0] -A ufw6-before-input -m rt --rt-type 0 -j DROP
[3:216] -A ufw6-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A ufw6-before-input -p ipv6-icmp -m icmp6 --icmpv6-type 129 -j ACCEPT
[0:0] -A ufw6-before-input -m conntrack --ctstate INVALID -j ufw6-logging-deny
[0:0] -A ufw6-before-input -m conntrack --ctstate INVALID -j DROP
[4:288] -A ufw6-before-input -p ipv6-icmp -m icmp6 --icmpv6-type 135 -m hl --hl-eq 255 -j ACCEPT
[4:288] -A ufw6-before-input -p ipv6-icmp -m icmp6 --icmpv6-type 136 -m hl --hl-eq 255 -j ACCEPT
[0:0] -A ufw6-before-input -s fe80::/10 -p ipv6-icmp -m icmp6 --icmpv6-type 143 -j ACCEPT
[0:0] -A ufw6-before-input -d ff02::fb/128 -p udp -m udp --dport 5353 -j ACCEPT
[2:144] -A ufw6-before-input -j ufw6-user-input
[1:72] -A ufw6-user-input -p tcp -m tcp --dport 22 -j ACCEPT
[0:0] -A ufw6-after-input -p udp -m udp --dport 137 -j ufw6-skip-to-policy-input
[0:0] -A ufw6-skip-to-policy-input -j DROP
[0:0] -A ufw6-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
[8:576] -A ufw6-before-output -o lo -j ACCEPT
)",
                {"INPUT", "FORWARD"})};
}

ForeignRules firewalld_rules() {
  const auto v4 =
      table("raw", {"PREROUTING_ZONES", "PRE_public"}, R"(
[30:1800] -A PREROUTING -j PREROUTING_ZONES
[30:1800] -A PREROUTING_ZONES -j PRE_public
)") + table("mangle", {"PREROUTING_ZONES", "PRE_public"}, R"(
[0:0] -A PREROUTING -s 203.0.113.0/24 -j PREROUTING_ZONES
[0:0] -A PREROUTING_ZONES -i eth9 -g PRE_public
)") +
      table("filter",
            {"INPUT_ZONES", "IN_public", "FORWARD_IN_ZONES", "FORWARD_OUT_ZONES", "FWDI_public", "FWDO_public"},
            R"(
[9:540] -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
[1:60] -A INPUT -i lo -j ACCEPT
[4:240] -A INPUT -j INPUT_ZONES
[0:0] -A INPUT -m conntrack --ctstate INVALID -j DROP
[4:240] -A INPUT -j REJECT --reject-with icmp-host-prohibited
[0:0] -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
[0:0] -A FORWARD -i lo -j ACCEPT
[2:120] -A FORWARD -j FORWARD_IN_ZONES
[2:120] -A FORWARD -j FORWARD_OUT_ZONES
[0:0] -A FORWARD -m conntrack --ctstate INVALID -j DROP
[2:120] -A FORWARD -j REJECT --reject-with icmp-host-prohibited
[4:240] -A INPUT_ZONES -g IN_public
[1:60] -A IN_public -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT
[0:0] -A IN_public -p icmp -j ACCEPT
[2:120] -A FORWARD_IN_ZONES -g FWDI_public
[2:120] -A FORWARD_OUT_ZONES -g FWDO_public
[0:0] -A FWDI_public -p icmp -j ACCEPT
)");
  return {"firewalld", v4,
          in_ipv6(v4, {{"[30:1800] -A PREROUTING -j PREROUTING_ZONES",
                        "[4:288] -A PREROUTING -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT\n"
                        "[0:0] -A PREROUTING -m rpfilter --validmark --invert -j DROP\n"
                        "[30:1800] -A PREROUTING -j PREROUTING_ZONES"},
                       {"203.0.113.0/24", "2001:db8:113::/48"},
                       {"icmp-host-prohibited", "icmp6-adm-prohibited"},
                       {"-p icmp ", "-p ipv6-icmp "}})};
}

ForeignRules libvirt_rules() {
  return {"libvirt", table("mangle", {"LIBVIRT_PRT"}, R"(
[25:1500] -A POSTROUTING -s 192.168.122.0/24 -j LIBVIRT_PRT
[0:0] -A LIBVIRT_PRT -o virbr0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill
)") + table("nat", {"LIBVIRT_PRT"}, R"(
[31:1860] -A POSTROUTING -s 192.168.122.0/24 -j LIBVIRT_PRT
[0:0] -A LIBVIRT_PRT -s 192.168.122.0/24 -d 224.0.0.0/24 -j RETURN
[31:1860] -A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
)") +
                         table("filter", {"LIBVIRT_FWI", "LIBVIRT_FWO", "LIBVIRT_FWX", "LIBVIRT_INP"},
                               R"(
[7:420] -A INPUT -i virbr0 -j LIBVIRT_INP
[22:1320] -A FORWARD -j LIBVIRT_FWX
[22:1320] -A FORWARD -j LIBVIRT_FWI
[22:1320] -A FORWARD -j LIBVIRT_FWO
[11:660] -A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable
[11:660] -A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT
[0:0] -A LIBVIRT_FWO -i virbr0 -j REJECT --reject-with icmp-port-unreachable
[0:0] -A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
[7:420] -A LIBVIRT_INP -i virbr0 -p udp -m udp --dport 53 -j ACCEPT
)")};
}

void restore(const ForeignRules& rules) {
  must("iptables-legacy-restore -w -c <<'END'\n" + rules.v4 + "END");
  if (!rules.v6.empty()) must("ip6tables-legacy-restore -w -c <<'END'\n" + rules.v6 + "END");
}

std::string firewalld_nf_tables() {
  return R"(table inet firewalld {
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    iifname "lo" accept
    jump filter_FORWARD_ZONES
    ct state invalid drop
    reject with icmpx type admin-prohibited
  }
  chain filter_FORWARD_ZONES {
    iifname "eth9" goto filter_FWD_public
  }
  chain filter_FWD_public {
    meta l4proto { icmp, icmpv6 } accept
  }
}
)";
}

// Before every table of iptables, where bridged frames pass them too.
SilentIcmpv6::SilentIcmpv6() {
  must(R"(nft -f - <<'END'
table ip6 silence {
  chain in { type filter hook prerouting priority -500; meta l4proto icmpv6 drop; }
  chain out { type filter hook output priority -500; meta l4proto icmpv6 drop; }
}
END)");
}

SilentIcmpv6::~SilentIcmpv6() { sh("nft delete table ip6 silence"); }

std::string foreign_rules_now() {
  std::string text;
  for (const Family family : {Family::v4, Family::v6}) {
    text += normalise_rules(must(iptables_of(family) + "-save -c | sed /MINIBRIDGE/d"), {.policy_counters = false});
  }
  return text;
}

}  // namespace mb::test
