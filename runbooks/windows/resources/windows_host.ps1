# What a Windows machine is.

function Get-HostFact {
    Set-StrictMode -Version 3.0
    $system = Get-CimInstance -ClassName Win32_OperatingSystem
    $computer = Get-CimInstance -ClassName Win32_ComputerSystem
    $version = Get-ItemProperty -LiteralPath 'Registry::HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
    $control = Get-ItemProperty -LiteralPath 'Registry::HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control'
    $identity = [System.Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object -TypeName System.Security.Principal.WindowsPrincipal -ArgumentList $identity
    $products = @{ 1 = 'workstation'; 2 = 'domain_controller'; 3 = 'server' }
    $names = @($control.PSObject.Properties | ForEach-Object -MemberName Name)
    return @{
        hostname = [string]$computer.Name
        os_version = [string]$system.Version
        kernel = '{0}.{1}' -f $version.CurrentBuildNumber, $version.UBR
        login_user = [string]$identity.Name
        is_root = [bool]$principal.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)
        container = [bool]($names -contains 'ContainerType')
        product = [string]$products[[int]$system.ProductType]
        edition = [string]$version.EditionID
        domain_joined = [bool]$computer.PartOfDomain
    }
}
