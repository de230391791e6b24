// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the tests of the real kernel share: a fresh host, a state directory, and the kernel on top of them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

#include "netns/netns.h"
#include "src/base/error.h"
#include "src/kernel/kernel.h"
#include "tests/support/world.h"

namespace mb::test {

inline InterfaceName link_name(const char* text) { return InterfaceName::parse(text); }

inline InterfaceAddress cidr(const char* address, int prefix) { return {IpAddress::parse(address), prefix}; }

// The error a call throws, for tests that look at its words.
template <typename Function>
Error error_of(Function function) {
  try {
    function();
  } catch (const Error& e) {
    return e;
  }
  throw std::logic_error("it did not fail");
}

class KernelTest : public testing::Test {
 protected:
  KernelTest() {
    char directory[] = "/run/mb-kernel-XXXXXX";
    if (::mkdtemp(directory) == nullptr) throw std::runtime_error("cannot make a state directory");
    state_ = directory;
    renew();
  }

  ~KernelTest() override {
    kernel_.reset();
    netns::remove_pin_directory(state_ + "/netns");
    std::filesystem::remove_all(state_);
  }

  // As the next verb would do: nothing is remembered.
  void renew() {
    kernel_.reset();
    kernel_ = kernel::make_kernel({identity_, state_, state_ + "/links"});
  }

  void apply(const Step& step) { kernel_->apply(step); }
  void undo(const Step& step) {
    const auto back = inverse(step);
    if (back) kernel_->apply(*back, true);
  }

  BridgeState bridge() const {
    BridgeState bridge;
    bridge.name = link_name("minibridge0");
    bridge.group = identity_.group;
    bridge.mac = MacAddress::parse("02:6d:ac:12:00:01");
    bridge.alias = identity_.alias();
    bridge.addresses = {cidr("172.18.0.1", 16)};
    return bridge;
  }

  VethState veth() const {
    VethState veth;
    veth.host = link_name("mb0123456789ab");
    veth.group = identity_.group;
    veth.bridge = link_name("minibridge0");
    veth.alias = identity_.alias();
    veth.container = kContainer;
    veth.peer = link_name("eth0");
    veth.mac = MacAddress::parse("02:6d:ac:12:00:02");
    veth.addresses = {cidr("172.18.0.2", 16)};
    veth.gateways = {IpAddress::parse("172.18.0.1")};
    return veth;
  }

  static step::ChangeLink change(const LinkRef& link, const step::LinkChange& to) { return {link, to, {}}; }
  static step::LinkChange up(bool on = true) {
    step::LinkChange to;
    to.up = on;
    return to;
  }

  void add_bridge() {
    apply(step::AddBridge{bridge()});
    apply(step::AddAddress{{{}, bridge().name}, bridge().addresses.front()});
    step::LinkChange to = up();
    to.route_localnet = true;
    to.alias = bridge().alias;
    apply(change({{}, bridge().name}, to));
  }

  void add_namespace() {
    apply(step::PinNamespace{kContainer, {}});
    apply(change({kContainer, link_name("lo")}, up()));
  }

  void add_veth() {
    apply(step::AddVeth{veth()});
    apply(step::AddAddress{{kContainer, veth().peer}, veth().addresses.front()});
    apply(change({kContainer, veth().peer}, up()));
    apply(step::AddDefaultRoute{{kContainer, veth().peer}, veth().gateways.front()});
  }

  Scope scope() const {
    Scope scope;
    scope.bridges = {bridge().name};
    scope.veths = {{veth().host, kContainer}};
    scope.peers = {{veth().host, veth().peer}};
    scope.namespaces = {{kContainer, "mb-web"}};
    scope.directories = {kContainer};
    return scope;
  }

  Scope everything() const {
    Scope scope;
    scope.everything = true;
    return scope;
  }

  netns::Namespace inside() const { return netns::Namespace::open(state_ + "/netns/" + kContainer); }

  // One link as ip(8) shows it; null if there is none.
  static nlohmann::json shown(const std::string& name) {
    const auto found = sh("ip -d -j link show dev " + name);
    return found.status == 0 ? nlohmann::json::parse(found.out).at(0) : nlohmann::json();
  }
  static nlohmann::json shown(const netns::Namespace& where, const std::string& name) {
    const auto found = sh(where, "ip -d -j link show dev " + name);
    return found.status == 0 ? nlohmann::json::parse(found.out).at(0) : nlohmann::json();
  }
  static bool is_up(const nlohmann::json& link) {
    const auto& flags = link.at("flags");
    return std::find(flags.begin(), flags.end(), "UP") != flags.end();
  }

  static constexpr const char* kContainer = "3fa2c19b0d11";

  World world_;
  Identity identity_ = Identity::from_state_id("3fa2c19b");
  std::string state_;
  std::unique_ptr<kernel::Kernel> kernel_;
};

}  // namespace mb::test
