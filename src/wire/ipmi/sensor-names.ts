/** Names of sensor types and of their states (IPMI v2.0 rev 1.1 tables 42-1 to 42-3). */
import { THRESHOLD_TYPE } from './sdr.ts'

/** By number, from 1. */
const SENSOR_TYPES =
  'Temperature|Voltage|Current|Fan|Physical Security|Platform Security|Processor|Power Supply|Power Unit|Cooling Device|Other Units|Memory|Drive Slot|POST Memory Resize|System Firmware|Event Logging Disabled|Watchdog 1|System Event|Critical Interrupt|Button|Module or Board|Microcontroller|Add-in Card|Chassis|Chip Set|Other FRU|Cable|Terminator|System Boot Initiated|Boot Error|OS Boot|OS Stop|Slot or Connector|System ACPI Power State|Watchdog 2|Platform Alert|Entity Presence|Monitor ASIC|LAN|Management Subsystem Health|Battery|Session Audit|Version Change|FRU State'.split(
    '|',
  )

/** States of threshold events: which threshold, and the direction in which it was crossed. */
const THRESHOLD_EVENTS =
  'Lower Non-critical going low|Lower Non-critical going high|Lower Critical going low|Lower Critical going high|Lower Non-recoverable going low|Lower Non-recoverable going high|Upper Non-critical going low|Upper Non-critical going high|Upper Critical going low|Upper Critical going high|Upper Non-recoverable going low|Upper Non-recoverable going high'

/** By event/reading type. */
const GENERIC_STATES: Readonly<Record<number, string>> = {
  0x01: THRESHOLD_EVENTS,
  0x02: 'Transition to Idle|Transition to Active|Transition to Busy',
  0x03: 'State Deasserted|State Asserted',
  0x04: 'Predictive Failure deasserted|Predictive Failure asserted',
  0x05: 'Limit Not Exceeded|Limit Exceeded',
  0x06: 'Performance Met|Performance Lags',
  0x07: 'Transition to OK|Transition to Non-Critical from OK|Transition to Critical from less severe|Transition to Non-recoverable from less severe|Transition to Non-Critical from more severe|Transition to Critical from Non-recoverable|Transition to Non-recoverable|Monitor|Informational',
  0x08: 'Device Removed|Device Inserted',
  0x09: 'Device Disabled|Device Enabled',
  0x0a: 'Transition to Running|Transition to In Test|Transition to Power Off|Transition to On Line|Transition to Off Line|Transition to Off Duty|Transition to Degraded|Transition to Power Save|Install Error',
  0x0b: 'Fully Redundant|Redundancy Lost|Redundancy Degraded|Non-redundant: sufficient from redundant|Non-redundant: sufficient from insufficient|Non-redundant: insufficient|Redundancy Degraded from fully redundant|Redundancy Degraded from non-redundant',
  0x0c: 'D0 Power State|D1 Power State|D2 Power State|D3 Power State',
}

/** By sensor type, where the event/reading type is 6Fh. */
const SPECIFIC_STATES: Readonly<Record<number, string>> = {
  0x05: 'General Chassis Intrusion|Drive Bay Intrusion|I/O Card Area Intrusion|Processor Area Intrusion|LAN Leash Lost|Unauthorized Dock|Fan Area Intrusion',
  0x06: 'Front Panel Lockout Violation|Pre-boot Password Violation: user|Pre-boot Password Violation: setup|Pre-boot Password Violation: network boot|Other Pre-boot Password Violation|Out-of-band Access Password Violation',
  0x07: 'IERR|Thermal Trip|FRB1/BIST Failure|FRB2/Hang in POST|FRB3/Startup Failure|Configuration Error|Uncorrectable CPU Complex Error|Presence Detected|Disabled|Terminator Presence Detected|Throttled|Machine Check|Correctable Machine Check',
  0x08: 'Presence Detected|Failure Detected|Predictive Failure|Input Lost|Input Lost or Out of Range|Input Out of Range|Configuration Error|Inactive',
  0x09: 'Power Off or Down|Power Cycle|240VA Power Down|Interlock Power Down|AC Lost|Soft Power Control Failure|Failure Detected|Predictive Failure',
  0x0c: 'Correctable ECC|Uncorrectable ECC|Parity|Scrub Failed|Device Disabled|Correctable ECC Logging Limit Reached|Presence Detected|Configuration Error|Spare|Throttled|Critical Overtemperature',
  0x0d: 'Drive Present|Drive Fault|Predictive Failure|Hot Spare|Parity Check in Progress|In Critical Array|In Failed Array|Rebuild in Progress|Rebuild Aborted',
  0x0f: 'POST Error|Firmware Hang|Firmware Progress',
  0x10: 'Correctable Memory Error Logging Disabled|Event Logging Disabled|Log Area Reset/Cleared|All Event Logging Disabled|Log Full|Log Almost Full|Correctable Machine Check Logging Disabled',
  0x11: 'BIOS Reset|OS Reset|OS Shut Down|OS Power Down|OS Power Cycle|OS NMI|OS Expired|OS Pre-timeout Interrupt',
  0x12: 'System Reconfigured|OEM System Boot Event|Undetermined Hardware Failure|Entry Added to Auxiliary Log|PEF Action|Timestamp Clock Sync',
  0x13: 'Front Panel NMI|Bus Timeout|I/O Check NMI|Software NMI|PCI PERR|PCI SERR|EISA Failsafe Timeout|Bus Correctable Error|Bus Uncorrectable Error|Fatal NMI|Bus Fatal Error|Bus Degraded',
  0x14: 'Power Button Pressed|Sleep Button Pressed|Reset Button Pressed|FRU Latch|FRU Service',
  0x19: 'Soft Power Control Failure|Thermal Trip',
  0x1b: 'Connected|Configuration Error',
  0x1d: 'Power Up|Hard Reset|Warm Reset|PXE Boot Requested|Diagnostic Boot|Run-time Software Initiated Hard Reset|Run-time Software Initiated Warm Reset|System Restart',
  0x1e: 'No Bootable Media|Non-bootable Disk in Drive|PXE Server Not Found|Invalid Boot Sector|Timeout Waiting for Selection',
  0x1f: 'A: Boot Completed|C: Boot Completed|PXE Boot Completed|Diagnostic Boot Completed|CD-ROM Boot Completed|ROM Boot Completed|Boot Completed|Installation Started|Installation Completed|Installation Aborted|Installation Failed',
  0x20: 'Error During System Startup|Run-time Critical Stop|OS Graceful Stop|OS Graceful Shutdown|PEF Soft Shutdown|Agent Not Responding',
  0x21: 'Fault Status|Identify Status|Device Installed|Ready for Installation|Ready for Removal|Slot Power Off|Removal Requested|Interlock|Slot Disabled|Holds Spare Device',
  0x22: 'S0/G0: working|S1|S2|S3|S4|S5/G2: soft off|S4/S5: soft off|G3: mechanical off|Sleeping in S1 to S3|G1: sleeping|S5 by override|Legacy ON|Legacy OFF|Unknown',
  0x23: 'Timer Expired|Hard Reset|Power Down|Power Cycle|Reserved|Reserved|Reserved|Reserved|Timer Interrupt',
  0x24: 'Platform Generated Page|Platform Generated LAN Alert|Platform Event Trap Generated|Platform Generated SNMP Trap',
  0x25: 'Present|Absent|Disabled',
  0x27: 'Heartbeat Lost|Heartbeat',
  0x28: 'Sensor Access Degraded|Controller Access Degraded|Controller Off-line|Controller Unavailable|Sensor Failure|FRU Failure',
  0x29: 'Low|Failed|Presence Detected',
  0x2a: 'Session Activated|Session Deactivated|Invalid User or Password|Invalid Password Disable',
  0x2b: 'Hardware Change Detected|Firmware Change Detected|Hardware Incompatible|Firmware Incompatible|Invalid Hardware Version|Invalid Firmware Version|Hardware Change Successful|Firmware Change Successful',
  0x2c: 'Not Installed|Inactive|Activation Requested|Activation in Progress|Active|Deactivation Requested|Deactivation in Progress|Communication Lost',
}

export function sensorTypeName(sensorType: number): string {
  return (
    SENSOR_TYPES[sensorType - 1] ?? (sensorType >= 0xc0 ? `OEM type ${hex(sensorType)}` : `type ${hex(sensorType)}`)
  )
}

/** The word for state `offset` of an event or a discrete sensor; a number where the standard has none. */
export function stateName(sensorType: number, readingType: number, offset: number): string {
  const names = readingType === 0x6f ? SPECIFIC_STATES[sensorType] : GENERIC_STATES[readingType]
  return names?.split('|')[offset] ?? `state ${offset}`
}

/** The asserted states of a discrete sensor, in words. */
export function stateNames(sensorType: number, readingType: number, states: number): string[] {
  if (readingType === THRESHOLD_TYPE) return []
  return Array.from({ length: 15 }, (_, offset) => offset)
    .filter((offset) => ((states >> offset) & 1) !== 0)
    .map((offset) => stateName(sensorType, readingType, offset))
}

function hex(value: number): string {
  return `${value.toString(16).toUpperCase().padStart(2, '0')}h`
}
