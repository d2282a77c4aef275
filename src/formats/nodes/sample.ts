/** Nodes files of others, word by word, for tests. */

/** The example of OpenCHAMI's tutorial, phase II, "Anatomy of a Static Discovery File". */
export const TUTORIAL_NODES = `- name: node01
  nid: 1
  xname: x1000c1s7b0n0
  bmc_mac: de:ca:fc:0f:ee:ee
  bmc_ip: 172.16.0.101
  group: compute
  interfaces:
  - mac_addr: de:ad:be:ee:ee:f1
    ip_addrs:
    - name: internal
      ip_addr: 172.16.0.1
  - mac_addr: de:ad:be:ee:ee:f2
    ip_addrs:
    - name: external
      ip_addr: 10.15.3.100
  - mac_addr: 02:00:00:91:31:b3
    ip_addrs:
    - name: HSN
      ip_addr: 192.168.0.1
`

/** The newer format of ochami (\`pkg/discover\`), with a BMC of two nodes. */
export const BMCS_AND_NODES = `bmcs:
- name: bmc01
  xname: x1000c1s7b0
  mac: de:ca:fc:0f:ee:ee
  ip: 172.16.0.101
  fqdn: bmc01.example
nodes:
- name: node01
  nid: 1
  xname: x1000c1s7b0n0
  bmc: bmc01
  groups:
  - compute
  - slurm:batch
  interfaces:
  - mac_addr: de:ad:be:ee:ee:f1
    ip_addrs:
    - name: internal
      ip_addr: 172.16.0.1
- name: node02
  nid: 2
  xname: x1000c1s7b0n1
  bmc: x1000c1s7b0
  interfaces:
  - mac_addr: de:ad:be:ee:ee:f2
    ip_addrs: []
`
