# The bench's rules for OPA: equal to those that bench/scenarios/policy.ts writes for Cordum and Cedar. The rules are data, so that one
# program serves any number of them. rules.wasm is made of this file by OPA 1.22.2 (Apache-2.0), whose runtime library it contains:
#   opa build -t wasm -e cordum/decision rules.rego && tar xzf bundle.tar.gz /policy.wasm && mv policy.wasm rules.wasm
package cordum

default decision := "deny"

decision := rule.decision if {
	some rule in data.rules
	concerns(rule)
	rule.tenant == input.tenant
	rule.risk in input.risk_tags
}

concerns(rule) if rule.topic == input.topic

concerns(rule) if startswith(input.topic, rule.prefix)

concerns(rule) if contains(input.topic, rule.part)
